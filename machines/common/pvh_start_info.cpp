// struct hvm_start_info of version 1 (Xen public/arch-x86/hvm/start_info.h).
#include <algorithm>

#include "machines/common/x86_boot.hpp"

namespace nacre::machine {

sdk::Status write_pvh_start_info(const BootInfo& info, const sdk::MemoryView& memory) {
  constexpr uint32_t kMagic = 0x336ec578, kVersion = 1;
  constexpr uint64_t kModules = 0x40, kMap = 0x80, kPage = 4096;  // offsets in its page
  const bool has_initrd = info.initrd.size != 0;
  const std::vector<MemoryRange> map = memory_map(info.ram, info.reserved);

  Bytes page;
  append(page, kMagic);
  append(page, kVersion);
  append(page, uint32_t{0});  // flags
  append(page, uint32_t{has_initrd});
  append(page, has_initrd ? low::kPvhStartInfo + kModules : uint64_t{0});
  append(page, low::kCommandLine);
  append(page, info.acpi_rsdp);
  append(page, low::kPvhStartInfo + kMap);
  append(page, static_cast<uint32_t>(map.size()));
  append(page, uint32_t{0});

  page.resize(kModules);
  append(page, info.initrd.gpa);
  append(page, info.initrd.size);
  append(page, uint64_t{0});  // command line of the module
  append(page, uint64_t{0});

  page.resize(kMap);
  for (const MemoryRange& range : map) {
    append(page, range.base);
    append(page, range.length);
    append(page, static_cast<uint32_t>(range.type));
    append(page, uint32_t{0});
  }
  page.resize(kPage);
  if (!memory.write(low::kPvhStartInfo, page.data(), page.size()))
    return sdk::fail("the machine has less than 1 MiB of memory; give it more with -m.");
  return {};
}

}  // namespace nacre::machine
