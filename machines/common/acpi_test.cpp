#include "machines/common/acpi.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "machines/common/fake_guest.hpp"
#include "machines/common/iasl_testing.hpp"
#include "machines/common/memory_map.hpp"

namespace nacre::machine {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

AcpiMachine sample(uint32_t vcpus = 2) {
  AcpiMachine machine;
  machine.name = "SAMPLE";
  machine.vcpus = vcpus;
  machine.power = {0x600, 0x601, 0x602, 3};
  machine.serial = {0x3f8, 4};
  for (uint32_t i = 0; i < 19; ++i) machine.virtio.push_back({i, 0xf0100000 + i * 0x200, 5 + i});
  return machine;
}

AcpiMachine with_hotplug(std::vector<bool> present) {
  AcpiMachine machine = sample();
  machine.virtio.clear();
  machine.cpu_hotplug = {0xf0000000, 0xf0000004, 6, std::move(present)};
  return machine;
}

bool sums_to_zero(std::span<const uint8_t> bytes) {
  return checksum(bytes) == 0;
}

using AcpiTest = IaslTest;

TEST_F(AcpiTest, TheRootLeadsToEveryTable) {
  FakeGuest guest(2 * kMiB);
  auto rsdp = write_acpi(sample(), guest.memory());
  ASSERT_TRUE(rsdp) << rsdp.error().message;
  EXPECT_EQ(*rsdp % 16, 0u);
  EXPECT_GE(*rsdp, 0xe0000u);
  EXPECT_EQ(guest.text(*rsdp, 8), "RSD PTR ");
  EXPECT_TRUE(sums_to_zero(guest.bytes(*rsdp, 20)));
  EXPECT_TRUE(sums_to_zero(guest.bytes(*rsdp, 36)));
  const uint64_t xsdt = guest.at<uint64_t>(*rsdp + 24);
  EXPECT_EQ(guest.text(xsdt, 4), "XSDT");
  const uint32_t length = guest.at<uint32_t>(xsdt + 4);
  EXPECT_TRUE(sums_to_zero(guest.bytes(xsdt, length)));
  ASSERT_EQ(length, 36u + 2 * 8);
  std::string names;
  for (uint64_t entry = xsdt + 36; entry < xsdt + length; entry += 8) {
    const uint64_t table = guest.at<uint64_t>(entry);
    names += guest.text(table, 4);
    EXPECT_TRUE(sums_to_zero(guest.bytes(table, guest.at<uint32_t>(table + 4))));
    if (guest.text(table, 4) != "FACP") continue;
    const uint64_t dsdt = guest.at<uint64_t>(table + 140);
    EXPECT_EQ(guest.text(dsdt, 4), "DSDT");
    EXPECT_TRUE(sums_to_zero(guest.bytes(dsdt, guest.at<uint32_t>(dsdt + 4))));
  }
  EXPECT_EQ(names, "FACPAPIC");
  EXPECT_EQ(guest.at<uint8_t>(0xdffff), 0xaa);
  EXPECT_EQ(guest.at<uint8_t>(0xf0000), 0xaa);
}

TEST_F(AcpiTest, SaysWhenThereIsNoRoom) {
  FakeGuest guest(2 * kMiB);
  EXPECT_TRUE(write_acpi(sample(3000), guest.memory()));
  auto refused = write_acpi(sample(5000), guest.memory());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("64 KiB"));
}

TEST_F(AcpiTest, TheNameSpaceReadsAsMeant) {
  const std::string source = through_iasl("dsdt", acpi_dsdt(sample()));
  EXPECT_THAT(source, HasSubstr("\"LNRO0005\""));
  EXPECT_THAT(source, HasSubstr("0xF0102400"));  // the last slot
  EXPECT_THAT(source, HasSubstr("Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive"));
  EXPECT_THAT(source, HasSubstr("EisaId (\"PNP0501\")"));
  EXPECT_THAT(source, HasSubstr("EisaId (\"PNP0C0C\")"));
  EXPECT_THAT(source, HasSubstr("\"ACPI0013\""));
  EXPECT_THAT(source, HasSubstr("Notify (\\_SB.PWRB, 0x80)"));
  EXPECT_THAT(source, HasSubstr("Name (\\_S5, Package (0x04)"));
}

TEST_F(AcpiTest, WhatIsNotThereIsNotNamed) {
  AcpiMachine machine = sample();
  machine.serial.reset();
  machine.virtio.clear();
  const std::string source = through_iasl("dsdt", acpi_dsdt(machine));
  EXPECT_THAT(source, Not(HasSubstr("PNP0501")));
  EXPECT_THAT(source, Not(HasSubstr("LNRO0005")));
}

TEST_F(AcpiTest, TheFixedTableIsHardwareReduced) {
  const std::string source = through_iasl("fadt", acpi_fadt(sample(), 0xe0040));
  EXPECT_THAT(source, HasSubstr("Hardware Reduced (V5) : 1"));
  EXPECT_THAT(source, HasSubstr("Reset Register Supported (V2) : 1"));
  EXPECT_THAT(source, HasSubstr("CMOS RTC Not Present (V5) : 1"));
  EXPECT_THAT(source, HasSubstr("8042 Present on ports 60/64 (V2) : 0"));
  EXPECT_THAT(source, HasSubstr("VGA Not Present (V4) : 1"));
}

TEST_F(AcpiTest, FixedRegistersAreThoseOfTheMachine) {
  AcpiMachine machine = sample();
  machine.clock = true;
  machine.fixed = {0x600, 0x604, 0x608, 9};
  const std::string source = through_iasl("fadt", acpi_fadt(machine, 0xe0040, 0xe0000));
  for (const char* words :
       {"Hardware Reduced (V5) : 0", "FACS Address : 000E0000", "SCI Interrupt : 0009", "SMI Command Port : 00000000",
        "PM1A Event Block Address : 00000600", "PM1A Control Block Address : 00000604",
        "PM Timer Block Address : 00000608", "PM1 Event Block Length : 04", "PM1 Control Block Length : 02",
        "PM Timer Block Length : 04", "GPE0 Block Length : 00", "32-bit PM Timer (V1) : 0",
        "Control Method Power Button (V1) : 1", "RTC wake not in fixed reg space (V1) : 1",
        "Reset Register Supported (V2) : 1", "CMOS RTC Not Present (V5) : 0"})
    EXPECT_THAT(source, HasSubstr(words));
  EXPECT_THAT(through_iasl("facs", acpi_facs()), HasSubstr("Length : 00000040"));
  const std::string madt = through_iasl("madt", acpi_madt(machine));
  EXPECT_THAT(madt, HasSubstr("PC-AT Compatibility : 1"));
  EXPECT_THAT(madt, HasSubstr("Interrupt : 00000009"));
  EXPECT_THAT(madt, HasSubstr("Flags (decoded below) : 000D"));
  EXPECT_THAT(through_iasl("madt", acpi_madt(sample())), HasSubstr("PC-AT Compatibility : 0"));
}

AcpiMachine with_pci() {
  AcpiMachine machine = sample();
  machine.virtio.clear();
  machine.clock = true;
  machine.pci = {0xb0000000, 255, 0xc0000000, 0x30000000, 0x8000000000, 0x4000000000, 16};
  return machine;
}

TEST_F(AcpiTest, TheRootComplexReadsAsMeant) {
  const std::string source = through_iasl("dsdt", acpi_dsdt(with_pci()));
  EXPECT_THAT(source, HasSubstr("EisaId (\"PNP0A08\")"));
  EXPECT_THAT(source, HasSubstr("ToUUID (\"33db4d5b-1ff7-401c-9657-7441c03dd766\")"));
  EXPECT_THAT(source, HasSubstr("WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode"));
  EXPECT_THAT(source, HasSubstr("0x00FF,             // Range Maximum"));
  EXPECT_THAT(source, HasSubstr("0xC0000000,         // Range Minimum"));
  EXPECT_THAT(source, HasSubstr("0xEFFFFFFF,         // Range Maximum"));
  EXPECT_THAT(source, HasSubstr("0x000000BFFFFFFFFF, // Range Maximum"));
  EXPECT_THAT(source, HasSubstr("0x001FFFFF"));
  EXPECT_THAT(source, HasSubstr("0xB0000000,         // Address Base"));
  EXPECT_THAT(source, HasSubstr("EisaId (\"PNP0B00\")"));
}

TEST_F(AcpiTest, ConfigurationSpaceHasATable) {
  FakeGuest guest(2 * kMiB);
  auto rsdp = write_acpi(with_pci(), guest.memory());
  ASSERT_TRUE(rsdp);
  const uint64_t xsdt = guest.at<uint64_t>(*rsdp + 24);
  EXPECT_EQ(guest.text(guest.at<uint64_t>(xsdt + 52), 4), "MCFG");
  const std::string source = through_iasl("mcfg", acpi_mcfg(with_pci()));
  EXPECT_THAT(source, HasSubstr("Base Address : 00000000B0000000"));
  EXPECT_THAT(source, HasSubstr("End Bus Number : FF"));
}

TEST_F(AcpiTest, ProcessorsBeyond255AreX2apics) {
  const std::string few = through_iasl("madt", acpi_madt(sample(4)));
  EXPECT_THAT(few, HasSubstr("I/O APIC"));
  EXPECT_THAT(few, Not(HasSubstr("x2APIC")));
  const std::string many = through_iasl("madt", acpi_madt(sample(300)));
  EXPECT_THAT(many, HasSubstr("Processor x2Apic ID : 0000012B"));
}

TEST_F(AcpiTest, DescribesVcpusThatComeAndGo) {
  const AcpiMachine machine = with_hotplug({true, false, true});
  const std::string madt = through_iasl("madt", acpi_madt(machine));
  EXPECT_THAT(madt, HasSubstr("Flags (decoded below) : 00000001"));
  EXPECT_THAT(madt, HasSubstr("Flags (decoded below) : 00000002"));
  const std::string source = through_iasl("dsdt", acpi_dsdt(machine));
  for (const char* words : {"OperationRegion (EREG, SystemMemory, 0xF0000000, 0x04)",
                            "OperationRegion (CREG, SystemMemory, 0xF0000004, 0x03)", "Device (C000)", "Device (C002)",
                            "Notify (\\_SB.C002, Arg1)", "Return (\\_SB.PRES.CSTA (0x02))", "\\_SB.PRES.CEJE (0x02)",
                            "\\_SB.PRES.COST (0x02, Arg0, Arg1)", "If ((Arg0 == 0x03))", "\\_SB.PRES.CSCN ()"})
    EXPECT_THAT(source, HasSubstr(words));
  EXPECT_THAT(source, Not(HasSubstr("C003")));
}

TEST_F(AcpiTest, MostVcpusFit) {
  FakeGuest guest(2 * kMiB);
  std::vector<bool> present(254, false);
  present[0] = true;
  const AcpiMachine machine = with_hotplug(present);
  EXPECT_THAT(through_iasl("dsdt", acpi_dsdt(machine)), HasSubstr("Device (C0FD)"));
  EXPECT_TRUE(write_acpi(machine, guest.memory()));
}

}  // namespace
}  // namespace nacre::machine
