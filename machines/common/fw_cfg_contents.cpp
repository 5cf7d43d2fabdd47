#include "machines/common/fw_cfg_contents.hpp"

#include <array>

namespace nacre::machine {
namespace {

using sdk::Status;

// A bzImage is given in two parts, its real-mode part first (Documentation/arch/x86/boot.rst, "setup_sects"); any other
// file as one.
Status add_kernel(FwCfg& device, const BootFile& kernel) {
  constexpr size_t kSetupSectors = 0x1f1, kMagic = 0x202;
  std::array<uint8_t, kMagic + 4> head{};
  sdk::Result<size_t> read = kernel.read(0, head);
  if (!read) return read.error();
  uint64_t setup = 0;
  if (*read == head.size() && std::memcmp(head.data() + kMagic, "HdrS", 4) == 0) {
    setup = ((head[kSetupSectors] ? head[kSetupSectors] : 4) + 1) * uint64_t{512};
    if (setup > kernel.size())
      return sdk::fail("the kernel '", kernel.path(), "' is cut short: its header is longer than the file.");
  }
  device.set_number<uint32_t>(FwCfg::kSetupSize, static_cast<uint32_t>(setup));
  device.set(FwCfg::kSetupData, kernel, 0, setup);
  device.set_number<uint32_t>(FwCfg::kKernelSize, static_cast<uint32_t>(kernel.size() - setup));
  device.set(FwCfg::kKernelData, kernel, setup, kernel.size() - setup);
  return {};
}

Bytes e820_table(const std::vector<MemoryRange>& ranges) {
  Bytes table;
  for (const MemoryRange& range : ranges) {
    append(table, range.base);
    append(table, range.length);
    append(table, static_cast<uint32_t>(range.type));
  }
  return table;
}

}  // namespace

Status fill_fw_cfg(FwCfg& device, FirmwareContents contents) {
  device.clear();
  device.set(FwCfg::kUuid, Bytes(16, 0));
  device.set_number(FwCfg::kRamSize, contents.ram_size);
  device.set_number(FwCfg::kCpus, static_cast<uint16_t>(contents.vcpus));
  device.set_number(FwCfg::kMaxCpus, static_cast<uint16_t>(contents.max_vcpus));
  device.set_number(FwCfg::kNoGraphics, uint16_t{1});
  device.set_number(FwCfg::kBootMenu, uint16_t{0});
  if (contents.kernel) {
    if (Status added = add_kernel(device, *contents.kernel); !added) return added;
    Bytes line(contents.command_line.begin(), contents.command_line.end());
    line.push_back(0);
    device.set_number(FwCfg::kCommandLineSize, static_cast<uint32_t>(line.size()));
    device.set(FwCfg::kCommandLineData, std::move(line));
  }
  if (contents.initrd) {
    device.set_number(FwCfg::kInitrdSize, static_cast<uint32_t>(contents.initrd->size()));
    device.set(FwCfg::kInitrdData, *contents.initrd, 0, contents.initrd->size());
  }
  auto add_number = [&](std::string_view name, auto value) {
    Bytes content;
    append(content, value);
    device.add_file(name, std::move(content));
  };
  if (!contents.e820.empty()) device.add_file("etc/e820", e820_table(contents.e820));
  // Milliseconds until firmware that finds nothing to start restarts the machine: it stays where it is.
  add_number("etc/boot-fail-wait", uint32_t{0xffffffff});
  if (contents.console_port) add_number("etc/sercon-port", *contents.console_port);
  if (!contents.boot_order.empty()) device.add_file("bootorder", std::move(contents.boot_order));
  if (contents.smbios) {
    device.add_file(SmbiosFiles::kAnchor, std::move(contents.smbios->anchor));
    device.add_file(SmbiosFiles::kTables, std::move(contents.smbios->tables));
  }
  device.add_file(AcpiFiles::kTables, std::move(contents.acpi.tables));
  device.add_file(AcpiFiles::kRoot, std::move(contents.acpi.root));
  device.add_file(AcpiFiles::kScript, std::move(contents.acpi.script));
  device.finish();
  return {};
}

}  // namespace nacre::machine
