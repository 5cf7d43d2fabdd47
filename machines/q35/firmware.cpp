#include "machines/q35/firmware.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <nacre/log.hpp>
#include <string_view>

#include "machines/common/boot_order.hpp"
#include "machines/common/x86_machine.hpp"
#include "machines/q35/power_block.hpp"

namespace nacre::q35 {
namespace {

using sdk::ErrorSlot;
using sdk::fail;
using sdk::host;
using sdk::Result;
using sdk::Status;

constexpr uint64_t kFlashEnd = 4 * machine::kGiB;
constexpr uint64_t kFlashMost = 16 * machine::kMiB;  // below are the interrupt controllers
constexpr uint64_t kSector = 4096;
// A processor in real mode sees the end of the firmware here.
constexpr uint64_t kShadowEnd = machine::kMiB;
constexpr uint64_t kShadowMost = 128 << 10;

enum class Kind { kUefi, kSeaBios, kOther };

Kind kind_of(int fd, uint64_t length) {
  machine::Bytes content(length);
  for (uint64_t done = 0; done < length;) {
    const ssize_t count = ::pread(fd, content.data() + done, length - done, static_cast<off_t>(done));
    if (count <= 0) return Kind::kOther;
    done += static_cast<uint64_t>(count);
  }
  // A firmware volume (UEFI Platform Initialization 1.7, volume 3 §3.2.1).
  constexpr std::string_view kVolume = "_FVH", kSeaBios = "SeaBIOS (version";
  constexpr size_t kVolumeSignature = 40;
  const std::string_view text(reinterpret_cast<const char*>(content.data()), content.size());
  if (text.substr(std::min(kVolumeSignature, text.size())).starts_with(kVolume)) return Kind::kUefi;
  return text.find(kSeaBios) != text.npos ? Kind::kSeaBios : Kind::kOther;
}

}  // namespace

Status Firmware::open() {
  uint64_t total = 0;
  for (int unit = 0; unit < 2; ++unit) {
    if (!config_.flash_drive[unit]) continue;
    const uint64_t length = config_.flash_length[unit];
    if (length == 0 || length % kSector)
      return fail("-drive if=pflash,unit=", std::to_string(unit), ": the file has ", std::to_string(length),
                  " bytes, and flash is a multiple of ", std::to_string(kSector),
                  " bytes and not empty; use the firmware's file as it was installed, or a copy.");
    if (length > kFlashMost || (total += length) > kFlashMost)
      return fail("-drive if=pflash,unit=", std::to_string(unit), ": the file has ", machine::size_text(length),
                  ", and both units together have ", machine::size_text(kFlashMost), " at most.");
  }
  if (config_.kernel) {
    Result<machine::BootFile> kernel = machine::BootFile::open(config_.kernel, "kernel");
    if (!kernel) return kernel.error();
    kernel_ = std::move(*kernel);
    if (Status asked = warn_of_kernel(); !asked) return asked;
  }
  if (config_.initrd) {
    Result<machine::BootFile> initrd = machine::BootFile::open(config_.initrd, "initrd");
    if (!initrd) return initrd.error();
    initrd_ = std::move(*initrd);
  }
  return {};
}

Status Firmware::warn_of_kernel() const {
  std::array<uint8_t, 2> head{};
  Result<size_t> read = kernel_.read(0, head);
  if (!read) return read.error();
  const bool efi_program = head[0] == 'M' && head[1] == 'Z';
  const Kind kind = kind_of(config_.flash_fd[0], config_.flash_length[0]);
  if (kind == Kind::kUefi && !efi_program)
    sdk::log(machine_, NACRE_LOG_WARN, "UEFI firmware starts a kernel that is an EFI program, as a bzImage is, and '",
             kernel_.path(), "' is none: it will not be started; leave -drive if=pflash out to start it directly.");
  if (kind == Kind::kSeaBios)
    sdk::log(machine_, NACRE_LOG_WARN, "SeaBIOS starts what is on a disk, and no kernel by itself: '", kernel_.path(),
             "' will not be started; leave -drive if=pflash out to start it directly, or use UEFI firmware.");
  return {};
}

Status Firmware::build(const AddDevice& add, nacre_error* slot) {
  uint64_t end = kFlashEnd;
  for (int unit = 0; unit < 2; ++unit) {
    if (!config_.flash_drive[unit]) continue;
    const std::string id = "machine-flash" + std::to_string(unit);
    const std::string properties = "drive=" + std::string(config_.flash_drive[unit]) + ",end=" + machine::hex(end) +
                                   ",sector-length=" + std::to_string(kSector);
    if (Status made = add("pflash-cfi01", id.c_str(), properties); !made) return made;
    end -= config_.flash_length[unit];
  }
  Status connected =
      ErrorSlot::wrap(slot, "the line of the system control interrupt is not free",
                      [&](nacre_error* error) { return host.irq->connect(machine_, PowerBlock::kLine, &sci_, error); });
  return connected ? fw_cfg_.claim(machine_, slot) : connected;
}

Status Firmware::boot(const machine::AcpiMachine& acpi, const machine::RamLayout& ram, nacre_error* slot) {
  machine::FirmwareContents contents;
  // Firmware starts them all and waits until as many have come.
  const std::vector<bool> present =
      acpi.cpu_hotplug ? acpi.cpu_hotplug->present : std::vector<bool>(config_.vcpus, true);
  contents.vcpus = static_cast<uint32_t>(std::count(present.begin(), present.end(), true));
  contents.max_vcpus = config_.max_vcpus;
  contents.ram_size = config_.ram_size;
  contents.e820.push_back({0, ram.low_end, machine::RangeType::kRam});
  if (ram.has_high())
    contents.e820.push_back({4 * machine::kGiB, ram.high_end - 4 * machine::kGiB, machine::RangeType::kRam});
  contents.acpi = machine::acpi_files(acpi);
  contents.boot_order = machine::boot_order(machine_);
  contents.smbios = machine::smbios_files(config_);
  if (config_.serial_chardev) contents.console_port = machine::kSerialPorts;
  if (kernel_) contents.kernel = &kernel_;
  if (initrd_) contents.initrd = &initrd_;
  contents.command_line = config_.append;
  if (Status filled = fill_fw_cfg(fw_cfg_.items(), std::move(contents)); !filled) return filled;
  return shadow(slot);
}

Status Firmware::shadow(nacre_error* slot) const {
  const uint64_t length = std::min(config_.flash_length[0], kShadowMost);
  return ErrorSlot::wrap(slot, "the end of the firmware cannot be copied below 1 MiB", [&](nacre_error* error) {
    return host.machine->load_file(machine_, kShadowEnd - length, config_.flash_fd[0], config_.flash_length[0] - length,
                                   length, error);
  });
}

}  // namespace nacre::q35
