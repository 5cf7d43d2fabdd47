// The names that a shared object shows to others.
#pragma once

#include <string>
#include <vector>

namespace nacre::check {

struct Exports {
  std::vector<std::string> defined;  // with default visibility, as `nm -D --defined-only` lists them
  std::vector<std::string> unique;   // of them, those of binding GNU_UNIQUE
};

// Reads the dynamic symbol table (System V ABI, chapter 4). Empty where there is none.
Exports exports_of(const std::string& path);

}  // namespace nacre::check
