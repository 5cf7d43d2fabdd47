// bzImage (Linux Documentation/arch/x86/boot.rst): real-mode setup with a header at 0x1F1, then the kernel, packed.
#include <algorithm>

#include "machines/common/kernel_image.hpp"

namespace nacre::machine {
namespace {

using sdk::fail;
using sdk::Result;

// Offsets in the file; the same in the zero page.
enum : size_t {
  kSetupSects = 0x1f1,
  kSysSize = 0x1f4,
  kBootFlag = 0x1fe,
  kJump = 0x201,  // the distance from 0x202 to the end of the header
  kMagic = 0x202,
  kVersion = 0x206,
  kLoadFlags = 0x211,
  kCode32Start = 0x214,
  kInitrdMax = 0x22c,
  kRelocatable = 0x234,
  kXLoadFlags = 0x236,
  kCommandLineSize = 0x238,
  kPrefAddress = 0x258,
  kInitSize = 0x260,
  kHeaderEnd = 0x290,  // of what the zero page has room for
};
constexpr uint8_t kLoadedHigh = 1;
constexpr uint16_t kKernel64 = 1;
constexpr uint64_t kEntry64 = 0x200;
constexpr uint64_t kSectorSize = 512;

}  // namespace

bool is_linux_boot_image(const Bytes& head) {
  return head.size() >= kVersion + 2 && get<uint16_t>(head, kBootFlag) == 0xaa55 &&
         std::memcmp(head.data() + kMagic, "HdrS", 4) == 0;
}

Result<KernelImage> inspect_linux_boot_image(const BootFile& file, const Bytes& head) {
  const uint16_t version = get<uint16_t>(head, kVersion);
  if (version < 0x200)
    return fail("the kernel '", file.path(), "' has a boot header of version ", hex(version),
                "; 0x200 or newer is needed.");
  const size_t header_end = std::min<size_t>(kMagic + head[kJump], kHeaderEnd);
  // A header says by its length how far it goes; what lies beyond is code.
  Bytes header(kHeaderEnd);
  std::copy_n(head.begin(), std::min(head.size(), header_end), header.begin());
  const uint64_t sectors = header[kSetupSects] ? header[kSetupSects] : 4;
  const uint64_t setup_size = (1 + sectors) * kSectorSize;
  const uint32_t sys_size = version >= 0x204 ? get<uint32_t>(header, kSysSize) : get<uint16_t>(header, kSysSize);
  const uint64_t wanted = setup_size + uint64_t{sys_size} * 16;
  if (head.size() < header_end || file.size() <= setup_size || file.size() < wanted)
    return fail("the kernel '", file.path(), "' is truncated: its header speaks of ", std::to_string(wanted),
                " bytes, and the file has ", std::to_string(file.size()), "; copy or build it again.");
  if (!(header[kLoadFlags] & kLoadedHigh))
    return fail("the kernel '", file.path(), "' is a zImage, to be loaded below 1 MiB; give a bzImage.");

  KernelImage image;
  image.kind = KernelKind::kBzImage;
  const bool relocatable = version >= 0x205 && header[kRelocatable];
  const bool entry64 = version >= 0x20c && (get<uint16_t>(header, kXLoadFlags) & kKernel64);
  const uint64_t preferred = version >= 0x20a ? get<uint64_t>(header, kPrefAddress) : 0;
  image.begin = relocatable && preferred ? preferred : get<uint32_t>(header, kCode32Start);
  const uint64_t size = file.size() - setup_size;
  // Old headers do not say what unpacking takes.
  const uint64_t init_size = version >= 0x20a ? get<uint32_t>(header, kInitSize) : size * 5;
  // A kernel that was loaded lower than where it wants to be unpacks itself there all the same.
  if (__builtin_add_overflow(std::max(image.begin, preferred), std::max(init_size, size), &image.end))
    return fail("the kernel '", file.path(), "' is damaged: its preferred address ", hex(preferred),
                " leaves no room for it.");
  if (image.end > 4 * kGiB)
    return fail("the kernel '", file.path(), "' wants memory up to ", hex(image.end), ", beyond 4 GiB.");
  image.entry = entry64 ? KernelEntry::kLinux64 : KernelEntry::kLinux32;
  image.entry_point = image.begin + (entry64 ? kEntry64 : 0);
  image.segments = {{image.begin, setup_size, size, size}};
  image.initrd_last = version >= 0x203 ? get<uint32_t>(header, kInitrdMax) : 0x37ffffff;
  image.command_line_max = version >= 0x206 ? get<uint32_t>(header, kCommandLineSize) : 255;
  image.setup_header.assign(header.begin() + kSetupSects, header.begin() + static_cast<ptrdiff_t>(header_end));
  return image;
}

}  // namespace nacre::machine
