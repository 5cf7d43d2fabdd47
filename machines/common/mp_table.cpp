#include "machines/common/mp_table.hpp"

#include <algorithm>

#include "machines/common/memory_map.hpp"

namespace nacre::machine {
namespace {

enum EntryType : uint8_t { kProcessor = 0, kBus = 1, kIoapic = 2, kInterrupt = 3, kLocalInterrupt = 4 };
enum InterruptType : uint8_t { kInt = 0, kNmi = 1, kExtInt = 3 };

constexpr uint8_t kSpecification = 4;  // 1.4
constexpr uint8_t kApicVersion = 0x14;
constexpr uint32_t kMostProcessors = 254;  // 255 means all of them
constexpr uint8_t kAllProcessors = 0xff;
constexpr size_t kPointerSize = 16;
constexpr size_t kLengthField = 4, kChecksumField = 7, kCountField = 34;

void interrupt(Bytes& table, EntryType entry, InterruptType type, uint8_t line, uint8_t apic, uint8_t pin) {
  append(table, static_cast<uint8_t>(entry));
  append(table, static_cast<uint8_t>(type));
  append(table, uint16_t{0});  // polarity and trigger of the bus: for ISA active high, edge
  append(table, uint8_t{0});   // bus
  append(table, line);
  append(table, apic);
  append(table, pin);
}

}  // namespace

Bytes mp_configuration(uint32_t vcpus) {
  const uint32_t processors = std::min(vcpus, kMostProcessors);
  // An id that no processor has, where 4 bits leave one; the IOAPIC in the kernel answers to any.
  const uint8_t ioapic_id = processors < 15 ? static_cast<uint8_t>(processors) : 0;
  Bytes table;
  append_text(table, "PCMP", 4, ' ');
  append(table, uint16_t{0});  // length
  append(table, kSpecification);
  append(table, uint8_t{0});  // checksum
  append_text(table, "NACRE", 8, ' ');
  append_text(table, "MICROVM", 12, ' ');
  append(table, uint32_t{0});  // OEM table
  append(table, uint16_t{0});
  append(table, uint16_t{0});  // entries
  append(table, static_cast<uint32_t>(kLapicAddress));
  append(table, uint32_t{0});  // no extended table

  uint16_t entries = 0;
  for (uint32_t id = 0; id < processors; ++id, ++entries) {
    append(table, uint8_t{kProcessor});
    append(table, static_cast<uint8_t>(id));
    append(table, kApicVersion);
    append(table, static_cast<uint8_t>(id == 0 ? 3 : 1));  // enabled; the first one boots
    append(table, uint32_t{0x600});                        // family 6: the kernel asks CPUID
    append(table, uint32_t{0x201});                        // an APIC and an FPU
    append(table, uint64_t{0});
  }
  append(table, uint8_t{kBus});
  append(table, uint8_t{0});
  append_text(table, "ISA", 6, ' ');
  append(table, uint8_t{kIoapic});
  append(table, ioapic_id);
  append(table, uint8_t{0x11});
  append(table, uint8_t{1});  // enabled
  append(table, static_cast<uint32_t>(kIoapicAddress));
  entries = static_cast<uint16_t>(entries + 2);
  // Past the 16 lines of a real ISA bus as well: Linux maps every pin that has an entry, by its own number.
  for (uint8_t line = 0; line < kIoapicLines; ++line, ++entries)
    interrupt(table, kInterrupt, kInt, line, ioapic_id, line);
  interrupt(table, kLocalInterrupt, kExtInt, 0, kAllProcessors, 0);
  interrupt(table, kLocalInterrupt, kNmi, 0, kAllProcessors, 1);
  entries = static_cast<uint16_t>(entries + 2);

  put(std::span<uint8_t>(table), kLengthField, static_cast<uint16_t>(table.size()));
  put(std::span<uint8_t>(table), kCountField, entries);
  table[kChecksumField] = checksum(table);
  return table;
}

sdk::Status write_mp_table(uint32_t vcpus, const sdk::MemoryView& memory) {
  const Bytes table = mp_configuration(vcpus);
  uint64_t at = low::kEbda + kPointerSize;
  if (at + table.size() > low::kVideo) at = low::kBios;
  Bytes pointer;
  append_text(pointer, "_MP_", 4, ' ');
  append(pointer, static_cast<uint32_t>(at));
  append(pointer, uint8_t{1});  // length in units of 16 bytes
  append(pointer, kSpecification);
  append(pointer, uint8_t{0});   // checksum
  pointer.resize(kPointerSize);  // features: a configuration table, and virtual wire mode
  pointer[10] = checksum(pointer);
  if (!memory.write(low::kEbda, pointer.data(), pointer.size()) || !memory.write(at, table.data(), table.size()))
    return sdk::fail("the machine has less than 1 MiB of memory; give it more with -m.");
  return {};
}

}  // namespace nacre::machine
