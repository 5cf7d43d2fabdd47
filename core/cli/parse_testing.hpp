// Short ways to write a command line in a test.
#pragma once

#include <string>
#include <vector>

#include "core/cli/options.hpp"

namespace nacre::cli {

// Splits at spaces; words in double quotes stay together.
inline std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  std::string word;
  bool quoted = false, any = false;
  for (char c : line + " ") {
    if (c == '"') {
      quoted = !quoted;
      any = true;
    } else if (c == ' ' && !quoted) {
      if (any) words.push_back(word);
      word.clear();
      any = false;
    } else {
      word += c;
      any = true;
    }
  }
  return words;
}

inline Result<Options> parse_words(const std::vector<std::string>& words) {
  std::vector<const char*> pointers;
  for (const std::string& word : words) pointers.push_back(word.c_str());
  return parse(pointers);
}

inline Result<Options> parse_line(const std::string& line) {
  return parse_words(words_of(line));
}

// What a machine needs besides the options under test.
inline constexpr const char* kRest = " -kernel vmlinux -initrd initrd -qmp unix:sock,server,nowait";

// The sentence of a failure, or "" when there is none.
inline std::string refusal(const std::string& line) {
  Result<Options> options = parse_line(line);
  return options ? std::string() : options.error().message;
}

}  // namespace nacre::cli
