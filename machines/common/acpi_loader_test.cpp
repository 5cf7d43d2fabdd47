// Runs the script as firmware does, and looks at what has come of the tables.
#include "machines/common/acpi_loader.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace nacre::machine {
namespace {

AcpiMachine sample() {
  AcpiMachine machine;
  machine.name = "SAMPLE";
  machine.vcpus = 3;
  machine.power = {0x600, 0x601, 0x602, 3};
  machine.pci = {0xb0000000, 3, 0xc0000000, 0x30000000, 0, 0, 16};
  return machine;
}

// Files at addresses that the script's ALLOCATE has given.
class Firmware {
 public:
  explicit Firmware(const AcpiFiles& files) {
    contents_[std::string(AcpiFiles::kTables)] = files.tables;
    contents_[std::string(AcpiFiles::kRoot)] = files.root;
    EXPECT_EQ(files.script.size() % 128, 0u);
    for (size_t at = 0; at + 128 <= files.script.size(); at += 128) step(std::span(files.script).subspan(at, 128));
  }

  const Bytes& file(std::string_view name) { return contents_.at(std::string(name)); }
  // The table at an address, by the length in its header.
  std::span<const uint8_t> table(uint64_t address) {
    const Bytes& tables = file(AcpiFiles::kTables);
    const uint64_t at = address - addresses_.at(std::string(AcpiFiles::kTables));
    EXPECT_LE(at + 36, tables.size());
    return std::span<const uint8_t>(tables).subspan(at, get<uint32_t>(tables, at + 4));
  }

 private:
  static std::string name(std::span<const uint8_t> entry, size_t at) {
    return reinterpret_cast<const char*>(entry.data() + at);
  }

  void step(std::span<const uint8_t> entry) {
    const std::string first = name(entry, 4);
    switch (get<uint32_t>(entry, 0)) {
      case 1:
        EXPECT_TRUE(contents_.contains(first));
        addresses_[first] = next_;
        next_ += 0x10000;
        break;
      case 2: {
        const std::string source = name(entry, 60);
        const auto offset = get<uint32_t>(entry, 116);
        const size_t width = entry[120];
        Bytes& in = contents_.at(first);
        ASSERT_LE(offset + width, in.size());
        uint64_t value = 0;
        std::memcpy(&value, in.data() + offset, width);
        EXPECT_LT(value, contents_.at(source).size());
        value += addresses_.at(source);
        std::memcpy(in.data() + offset, &value, width);
        break;
      }
      case 3: {
        Bytes& in = contents_.at(first);
        const auto offset = get<uint32_t>(entry, 60), start = get<uint32_t>(entry, 64),
                   length = get<uint32_t>(entry, 68);
        ASSERT_LE(start + length, in.size());
        EXPECT_EQ(in[offset], 0);
        in[offset] = checksum(std::span(in).subspan(start, length));
        break;
      }
      default:
        FAIL() << "command " << get<uint32_t>(entry, 0);
    }
  }

  std::map<std::string, Bytes> contents_;
  std::map<std::string, uint64_t> addresses_;
  uint64_t next_ = 0x7e000000;
};

std::string signature(std::span<const uint8_t> table) {
  return {reinterpret_cast<const char*>(table.data()), 4};
}

TEST(AcpiLoader, LeavesTablesThatAFirmwareHasPlaced) {
  Firmware firmware(acpi_files(sample()));
  const Bytes& root = firmware.file(AcpiFiles::kRoot);
  EXPECT_EQ(std::string(root.begin(), root.begin() + 8), "RSD PTR ");
  EXPECT_EQ(checksum(std::span(root).first(20)), 0);
  EXPECT_EQ(checksum(root), 0);
  const auto xsdt = firmware.table(get<uint64_t>(root, 24));
  EXPECT_EQ(signature(xsdt), "XSDT");
  EXPECT_EQ(checksum(xsdt), 0);
  std::string found;
  for (size_t at = 36; at < xsdt.size(); at += 8) {
    const auto table = firmware.table(get<uint64_t>(xsdt, at));
    EXPECT_EQ(checksum(table), 0) << signature(table);
    found += signature(table) + ' ';
  }
  EXPECT_EQ(found, "FACP APIC MCFG ");
  const auto fadt = firmware.table(get<uint64_t>(xsdt, 36));
  EXPECT_EQ(get<uint32_t>(fadt, 40), get<uint64_t>(fadt, 140));
  const auto dsdt = firmware.table(get<uint64_t>(fadt, 140));
  EXPECT_EQ(signature(dsdt), "DSDT");
  EXPECT_EQ(checksum(dsdt), 0);
  EXPECT_EQ(get<uint32_t>(fadt, 36), 0u);
}

TEST(AcpiLoader, PlacesWhatGoesWithFixedRegisters) {
  AcpiMachine machine = sample();
  machine.fixed = {0x600, 0x604, 0x608, 9};
  Firmware firmware(acpi_files(machine));
  const auto xsdt = firmware.table(get<uint64_t>(firmware.file(AcpiFiles::kRoot), 24));
  const auto fadt = firmware.table(get<uint64_t>(xsdt, 36));
  EXPECT_EQ(checksum(fadt), 0);
  const uint32_t facs = get<uint32_t>(fadt, 36);
  EXPECT_EQ(facs % 64, 0u);
  EXPECT_EQ(signature(firmware.table(facs)), "FACS");
  EXPECT_EQ(firmware.table(facs).size(), 64u);
  EXPECT_EQ(signature(firmware.table(get<uint64_t>(fadt, 140))), "DSDT");
}

}  // namespace
}  // namespace nacre::machine
