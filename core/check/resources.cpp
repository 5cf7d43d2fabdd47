#include "resources.hpp"

#include <malloc.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "sanitized.hpp"

namespace nacre::check {
namespace {

size_t entries(const char* directory) {
  size_t n = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory)) ++n;
  return n;
}

}  // namespace

Resources Resources::now() {
  Resources now;
  now.descriptors = entries("/proc/self/fd");
  now.threads = entries("/proc/self/task");
  if (kSanitized) return now;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) ++now.mappings;
  now.heap = ::mallinfo2().uordblks;
  return now;
}

}  // namespace nacre::check
