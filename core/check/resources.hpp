// What a process holds of its kernel's, to see what a device leaves behind. Under a sanitizer mappings and heap are
// that one's own business, and stay 0.
#pragma once

#include <cstddef>

namespace nacre::check {

struct Resources {
  size_t descriptors = 0;
  size_t threads = 0;
  size_t mappings = 0;
  size_t heap = 0;  // bytes in use

  static Resources now();
};

}  // namespace nacre::check
