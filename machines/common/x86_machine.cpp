#include "machines/common/x86_machine.hpp"

namespace nacre::machine {
namespace {

using sdk::ErrorSlot;
using sdk::host;
using sdk::Status;

constexpr uint64_t kIdentityMapPage = 0xfef0c000;
constexpr uint64_t kTssPages = kIdentityMapPage + 0x1000;

}  // namespace

Status X86Machine::lay_out_ram(nacre_error* slot) {
  auto add_ram = [&](uint64_t gpa, uint64_t length) {
    return ErrorSlot::wrap(slot, "the memory cannot be placed",
                           [&](nacre_error* error) { return host.machine->add_ram(instance(), gpa, length, error); });
  };
  if (Status added = add_ram(0, ram_.low_end); !added) return added;
  if (ram_.has_high())
    if (Status added = add_ram(4 * kGiB, ram_.high_end - 4 * kGiB); !added) return added;
  nacre_x86_platform platform{};
  platform.size = sizeof platform;
  platform.irqchip = NACRE_IRQCHIP_FULL;
  platform.tss_address = kTssPages;
  platform.identity_map_address = kIdentityMapPage;
  platform.pit = 1;  // with the port 0x61 that goes with it
  return ErrorSlot::wrap(slot, "the interrupt controllers cannot be made",
                         [&](nacre_error* error) { return host.machine->x86_platform(instance(), &platform, error); });
}

Status X86Machine::add_device(const char* driver, const char* id, const std::string& properties, nacre_error* slot) {
  return ErrorSlot::wrap(slot, "one of the machine's own devices cannot be made", [&](nacre_error* error) {
    return host.machine->device(instance(), driver, id, properties.c_str(), error);
  });
}

Status X86Machine::add_serial(nacre_error* slot) {
  if (!config().serial_chardev) return {};
  return add_device("isa-serial", "machine-serial",
                    "chardev=" + std::string(config().serial_chardev) + ",iobase=" + hex(kSerialPorts) +
                        ",irq=" + std::to_string(kSerialLine),
                    slot);
}

}  // namespace nacre::machine
