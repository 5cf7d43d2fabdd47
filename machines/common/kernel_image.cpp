#include "machines/common/kernel_image.hpp"

#include <algorithm>
#include <string_view>

namespace nacre::machine {
namespace {

using sdk::fail;
using sdk::Result;
using sdk::Status;

constexpr uint64_t kFlatAddress = 0x1000000;
// A flat image ends where its initialised data ends; .bss and early allocations of unknown size follow it.
constexpr uint64_t kFlatRoom = 8 * kMiB;
constexpr std::string_view kBanner = "Linux version ";

Result<bool> contains_banner(const BootFile& file) {
  Bytes chunk(1 << 20);
  uint64_t offset = 0;
  while (offset < file.size()) {
    Result<size_t> count = file.read(offset, chunk);
    if (!count) return count.error();
    const std::string_view text(reinterpret_cast<const char*>(chunk.data()), *count);
    if (text.find(kBanner) != text.npos) return true;
    if (*count < chunk.size()) break;
    offset += *count - (kBanner.size() - 1);  // it may straddle two chunks
  }
  return false;
}

Result<KernelImage> inspect_flat(const BootFile& file) {
  Result<bool> linux = contains_banner(file);
  if (!linux) return linux.error();
  if (!*linux)
    return fail("'", file.path(),
                "' is not a kernel: it is neither an ELF vmlinux nor a bzImage, and a flat image "
                "would contain the words 'Linux version'.");
  KernelImage image;
  image.kind = KernelKind::kFlat;
  image.entry_point = kFlatAddress;
  image.segments = {{kFlatAddress, 0, file.size(), file.size()}};
  image.begin = kFlatAddress;
  image.end = kFlatAddress + file.size() + kFlatRoom;
  return image;
}

Status check_place(const BootFile& file, const KernelImage& image, const RamLayout& ram) {
  if (image.begin < low::kEnd)
    return fail("the kernel '", file.path(), "' wants to be loaded at ", hex(image.begin),
                ", below 1 MiB, where the machine's boot structures are; link it higher.");
  if (image.end > ram.low_end)
    return fail("the kernel '", file.path(), "' needs memory up to ", hex(image.end), " (", size_text(image.end),
                "), but the machine has ", size_text(ram.low_end),
                " below the device gap; give it more memory with -m.");
  return {};
}

}  // namespace

Result<KernelImage> inspect_kernel(const BootFile& file, const RamLayout& ram) {
  Bytes head(kKernelHead);
  Result<size_t> count = file.read(0, head);
  if (!count) return count.error();
  head.resize(*count);

  Result<KernelImage> image = [&]() -> Result<KernelImage> {
    if (is_elf(head)) return inspect_elf(file, head);
    if (is_linux_boot_image(head)) return inspect_linux_boot_image(file, head);
    if (std::string other = describe_other_file(head); !other.empty())
      return fail("'", file.path(), "' is not a kernel for this machine: it is ", other);
    return inspect_flat(file);
  }();
  if (!image) return image;
  if (Status placed = check_place(file, *image, ram); !placed) return placed.error();
  return image;
}

}  // namespace nacre::machine
