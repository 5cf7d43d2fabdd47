// Puts a kernel and its initial file system into guest RAM.
#pragma once

#include <functional>
#include <nacre/memory.hpp>

#include "machines/common/kernel_image.hpp"

namespace nacre::machine {

// Puts [offset, offset + length) of the file `fd` into RAM at gpa, as nacre_machine_v1::load_file does.
using LoadFile = std::function<sdk::Status(uint64_t gpa, int fd, uint64_t offset, uint64_t length)>;

// Where the initrd stands; size 0 when there is none.
struct LoadedInitrd {
  uint64_t gpa = 0;
  uint64_t size = 0;
};

// Chooses the place of an initrd of `size` bytes: whole pages, as high as the kernel lets it be, below 896 MiB where
// that is possible (every kernel ever made can reach it there), in RAM below the gap, clear of [image.begin,
// image.end). Fails with the sizes when there is no such place.
sdk::Result<LoadedInitrd> place_initrd(const KernelImage& image, const BootFile& initrd, const RamLayout& ram);

// Loads the kernel's segments and, when `initrd` is open, the initrd. `ram_is_zero` says that no guest has run yet, so
// what must be zero is. Repeatable: a reset calls it again over what the last guest left.
sdk::Result<LoadedInitrd> load_kernel(const KernelImage& image, const BootFile& kernel, const BootFile& initrd,
                                      const RamLayout& ram, const sdk::MemoryView& memory, bool ram_is_zero,
                                      const LoadFile& load_file);

}  // namespace nacre::machine
