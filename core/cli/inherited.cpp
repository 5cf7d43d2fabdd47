#include "core/cli/inherited.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <climits>

namespace nacre::cli {

void find_descriptors(std::string_view text, std::vector<int>& descriptors) {
  for (std::string_view before : {"fd=", "fds=", "/fd/"}) {
    for (size_t at = text.find(before); at != std::string_view::npos; at = text.find(before, at + 1)) {
      const char* next = text.data() + at + before.size();
      const char* end = text.data() + text.size();
      int descriptor = 0;
      for (auto read = std::from_chars(next, end, descriptor); read.ec == std::errc();
           read = std::from_chars(next, end, descriptor)) {
        descriptors.push_back(descriptor);
        if (read.ptr == end || *read.ptr != ':') break;
        next = read.ptr + 1;
      }
    }
  }
}

void close_inherited(std::vector<int> kept) {
  std::sort(kept.begin(), kept.end());
  unsigned first = 3;
  for (int descriptor : kept) {
    if (descriptor < static_cast<int>(first)) continue;
    const unsigned number = static_cast<unsigned>(descriptor);
    if (number > first) (void)::close_range(first, number - 1, 0);
    first = number + 1;
  }
  (void)::close_range(first, UINT_MAX, 0);
}

}  // namespace nacre::cli
