// struct boot_params (Linux Documentation/arch/x86/zero-page.rst).
#include <algorithm>

#include "machines/common/x86_boot.hpp"

namespace nacre::machine {
namespace {

enum : size_t {
  kAcpiRsdp = 0x070,
  kMapEntries = 0x1e8,
  kSetupHeader = 0x1f1,
  kBootFlag = 0x1fe,
  kHeaderMagic = 0x202,
  kHeaderVersion = 0x206,
  kTypeOfLoader = 0x210,
  kLoadFlags = 0x211,
  kCode32Start = 0x214,
  kRamdiskImage = 0x218,
  kRamdiskSize = 0x21c,
  kCommandLinePointer = 0x228,
  kKernelAlignment = 0x230,
  kCommandLineSize = 0x238,
  kMap = 0x2d0,
};
constexpr size_t kSize = 4096;
constexpr uint8_t kUndefinedLoader = 0xff;
constexpr uint8_t kLoadedHigh = 1;

}  // namespace

sdk::Status write_zero_page(const KernelImage& image, const BootInfo& info, const sdk::MemoryView& memory) {
  Bytes page(kSize);
  if (image.setup_header.empty()) {
    // A kernel without a header of its own learns from this one that the rest is meant.
    put<uint16_t>(page, kBootFlag, 0xaa55);
    std::memcpy(page.data() + kHeaderMagic, "HdrS", 4);
    put<uint16_t>(page, kHeaderVersion, 0x20c);
    put<uint8_t>(page, kLoadFlags, kLoadedHigh);
    put<uint32_t>(page, kKernelAlignment, 0x1000000);
    put<uint32_t>(page, kCommandLineSize, image.command_line_max);
  } else {
    std::copy(image.setup_header.begin(), image.setup_header.end(), page.begin() + kSetupHeader);
    put<uint32_t>(page, kCode32Start, static_cast<uint32_t>(image.begin));
  }
  put<uint8_t>(page, kTypeOfLoader, kUndefinedLoader);
  put<uint32_t>(page, kCommandLinePointer, static_cast<uint32_t>(low::kCommandLine));
  put<uint32_t>(page, kRamdiskImage, static_cast<uint32_t>(info.initrd.gpa));
  put<uint32_t>(page, kRamdiskSize, static_cast<uint32_t>(info.initrd.size));
  put<uint64_t>(page, kAcpiRsdp, info.acpi_rsdp);

  const std::vector<MemoryRange> map = memory_map(info.ram, info.reserved);
  Bytes entries;
  for (const MemoryRange& range : map) {
    append(entries, range.base);
    append(entries, range.length);
    append(entries, static_cast<uint32_t>(range.type));
  }
  page[kMapEntries] = static_cast<uint8_t>(map.size());
  std::copy(entries.begin(), entries.end(), page.begin() + kMap);
  if (!memory.write(low::kZeroPage, page.data(), page.size()))
    return sdk::fail("the machine has less than 1 MiB of memory; give it more with -m.");
  return {};
}

}  // namespace nacre::machine
