#include "machines/common/load_kernel.hpp"

#include <algorithm>

namespace nacre::machine {
namespace {

using sdk::fail;
using sdk::Result;
using sdk::Status;

constexpr uint64_t kPage = 4096;
constexpr uint64_t kLowMemoryLast = 0x37ffffff;

}  // namespace

Result<LoadedInitrd> place_initrd(const KernelImage& image, const BootFile& initrd, const RamLayout& ram) {
  const uint64_t size = initrd.size();
  const uint64_t kernel_end = (image.end + kPage - 1) & ~(kPage - 1);
  for (uint64_t last : {std::min(image.initrd_last, kLowMemoryLast), image.initrd_last}) {
    const uint64_t end = std::min(last + 1, ram.low_end);
    if (size > end) continue;
    const uint64_t start = (end - size) & ~(kPage - 1);
    if (start >= kernel_end) return LoadedInitrd{start, size};
    // Between 1 MiB and a kernel that stands high.
    const uint64_t below = image.begin & ~(kPage - 1);
    if (size <= below && below - size >= low::kEnd) return LoadedInitrd{(below - size) & ~(kPage - 1), size};
  }
  return fail("the initrd '", initrd.path(), "' (", size_text(size), ") does not fit into the machine's memory (",
              size_text(ram.low_end), " below the device gap) beside the kernel, which takes it up to ", hex(image.end),
              "; give the machine more memory with -m, or use a smaller initrd.");
}

Result<LoadedInitrd> load_kernel(const KernelImage& image, const BootFile& kernel, const BootFile& initrd,
                                 const RamLayout& ram, const sdk::MemoryView& memory, bool ram_is_zero,
                                 const LoadFile& load_file) {
  LoadedInitrd placed;
  if (initrd) {
    Result<LoadedInitrd> place = place_initrd(image, initrd, ram);
    if (!place) return place;
    placed = *place;
  }
  for (const KernelSegment& segment : image.segments) {
    if (segment.file_size)
      if (Status loaded = load_file(segment.gpa, kernel.fd(), segment.file_offset, segment.file_size); !loaded)
        return fail("the kernel '", kernel.path(), "' cannot be loaded: ", loaded.error().message);
    const uint64_t zeros = segment.memory_size - segment.file_size;
    if (ram_is_zero || zeros == 0) continue;
    uint8_t* at = memory.translate(segment.gpa + segment.file_size, zeros);
    if (!at) return fail("the kernel '", kernel.path(), "' does not lie in the machine's memory.");
    std::memset(at, 0, zeros);
  }
  if (initrd)
    if (Status loaded = load_file(placed.gpa, initrd.fd(), 0, placed.size); !loaded)
      return fail("the initrd '", initrd.path(), "' cannot be loaded: ", loaded.error().message);
  return placed;
}

}  // namespace nacre::machine
