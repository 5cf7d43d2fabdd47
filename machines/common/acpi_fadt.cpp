// The fixed description table, of a hardware-reduced machine and of one with fixed registers, and what goes with the
// latter (ACPI 6.4 §5.2.9, §5.2.10).
#include "machines/common/acpi.hpp"
#include "machines/common/acpi_table.hpp"

namespace nacre::machine {
namespace {

// A generic address in I/O space (§5.2.3.2); `access` 1 to 3: 1, 2 or 4 bytes at a time.
void put_io_block(Bytes& table, size_t offset, uint16_t port, uint8_t bytes, uint8_t access) {
  constexpr uint8_t kSystemIo = 1;
  table[offset] = kSystemIo;
  table[offset + 1] = static_cast<uint8_t>(8 * bytes);
  table[offset + 3] = access;
  put<uint64_t>(table, offset + 4, port);
}

void put_io_register(Bytes& table, size_t offset, uint16_t port) {
  put_io_block(table, offset, port, 1, 1);
}

// Each block twice: by its port, and as a generic address. There is no SMI command, by which a kernel knows that the
// registers are ACPI's already, and no general-purpose event.
void put_fixed(Bytes& table, const AcpiFixed& fixed, uint64_t facs) {
  enum : size_t {
    kInterrupt = 46,
    kEvents = 56,
    kControl = 64,
    kTimer = 76,
    kEventsLength = 88,
    kControlLength = 89,
    kTimerLength = 91,
    kLatencyC2 = 96,
    kLatencyC3 = 98,
    kXEvents = 148,
    kXControl = 172,
    kXTimer = 208,
  };
  constexpr uint16_t kNoC2 = 101, kNoC3 = 1001;  // microseconds; what is longer than 100 and 1000 is not there
  put<uint32_t>(table, kFadtFacs, static_cast<uint32_t>(facs));
  put<uint16_t>(table, kInterrupt, static_cast<uint16_t>(fixed.gsi));
  put<uint32_t>(table, kEvents, fixed.events);
  put<uint32_t>(table, kControl, fixed.control);
  put<uint32_t>(table, kTimer, fixed.timer);
  table[kEventsLength] = 4;
  table[kControlLength] = 2;
  table[kTimerLength] = 4;
  put<uint16_t>(table, kLatencyC2, kNoC2);
  put<uint16_t>(table, kLatencyC3, kNoC3);
  put_io_block(table, kXEvents, fixed.events, 4, 2);
  put_io_block(table, kXControl, fixed.control, 2, 2);
  put_io_block(table, kXTimer, fixed.timer, 4, 3);
}

}  // namespace

// With HW_REDUCED_ACPI all fields of fixed hardware stay zero, and there is no FACS. Buttons are devices either way.
Bytes acpi_fadt(const AcpiMachine& machine, uint64_t dsdt, uint64_t facs) {
  enum : size_t {
    kDsdt = kFadtDsdt,
    kBootArch = 109,
    kFlags = 112,
    kResetRegister = 116,
    kResetValue = 128,
    kMinorVersion = 131,
    kXDsdt = kFadtXDsdt,
    kSleepControl = 244,
    kSleepStatus = 256,
    kHypervisor = 268,
    kSize = 276,
  };
  // No 8042 and no other legacy device (zeros), no VGA: a kernel probes for none of them.
  constexpr uint16_t kNoVga = 1 << 2, kNoAspm = 1 << 4, kNoRtc = 1 << 5;
  constexpr uint32_t kWbinvd = 1 << 0, kProcessorC1 = 1 << 2, kPowerButton = 1 << 4, kSleepButton = 1 << 5,
                     kNoFixedRtc = 1 << 6, kResetSupported = 1 << 10, kHardwareReduced = 1 << 20;
  Bytes table = acpi_header("FACP", 6, machine.name);
  table.resize(kSize);
  put<uint32_t>(table, kDsdt, static_cast<uint32_t>(dsdt));
  put<uint16_t>(table, kBootArch, kNoVga | kNoAspm | (machine.clock ? 0 : kNoRtc));
  put<uint32_t>(table, kFlags,
                kWbinvd | kPowerButton | kSleepButton | kResetSupported |
                    (machine.fixed ? kProcessorC1 | kNoFixedRtc : kHardwareReduced));
  put_io_register(table, kResetRegister, machine.power.reset);
  table[kResetValue] = 1;
  table[kMinorVersion] = 4;
  put<uint64_t>(table, kXDsdt, dsdt);
  put_io_register(table, kSleepControl, machine.power.sleep_control);
  put_io_register(table, kSleepStatus, machine.power.sleep_status);
  std::memcpy(table.data() + kHypervisor, "NACRE", 5);
  if (machine.fixed) put_fixed(table, *machine.fixed, facs);
  return acpi_finish(std::move(table));
}

// No kernel wakes through it: nothing here sleeps and comes back.
Bytes acpi_facs() {
  constexpr size_t kLength = 64, kVersion = 32;
  Bytes table;
  append_text(table, "FACS", 4, ' ');
  append(table, uint32_t{kLength});
  table.resize(kLength);
  table[kVersion] = 2;
  return table;
}

}  // namespace nacre::machine
