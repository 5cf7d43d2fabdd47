#include "machines/common/acpi_numa.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "machines/common/acpi_table.hpp"
#include "machines/common/iasl_testing.hpp"

namespace nacre::machine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Nodes 0 and 2 with 1.5 GiB each, so that node 2 lies on both sides of the hole at 2 GiB.
class AcpiNumaTest : public IaslTest {
 protected:
  AcpiNumaTest() {
    ram_.size = sizeof ram_;
    ram_.n_nodes = 2;
    ram_.node_size = sizeof(nacre_ram_node);
    ram_.nodes = nodes_;
    ram_.distances = distances_;
    ram_.cpu_nodes = cpus_;
    config_.vcpus = 3;
    config_.ram = &ram_;
    machine_.name = "SAMPLE";
    machine_.vcpus = 3;
    machine_.numa = numa_of(config_, RamLayout::split(3 * kGiB, 2 * kGiB));
  }
  const nacre_ram_node nodes_[2] = {{0, 0, 3 * kGiB / 2}, {2, 0, 3 * kGiB / 2}};
  const uint8_t distances_[4] = {10, 40, 41, 10};
  const uint32_t cpus_[3] = {0, 1, 0};
  nacre_ram ram_{};
  nacre_machine_config config_{};
  AcpiMachine machine_;
};

TEST_F(AcpiNumaTest, MemoryIsSplitAtTheHole) {
  ASSERT_TRUE(machine_.numa);
  ASSERT_EQ(machine_.numa->memory.size(), 3u);
  const AcpiNuma::Memory expected[] = {{0, 3 * kGiB / 2, 0}, {3 * kGiB / 2, kGiB / 2, 2}, {4 * kGiB, kGiB, 2}};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(machine_.numa->memory[i].base, expected[i].base) << i;
    EXPECT_EQ(machine_.numa->memory[i].length, expected[i].length) << i;
    EXPECT_EQ(machine_.numa->memory[i].node, expected[i].node) << i;
  }
  EXPECT_THAT(machine_.numa->cpu_nodes, ElementsAre(0, 2, 0));
  // A node's memory may begin right at the hole.
  const auto even = numa_of(config_, RamLayout::split(3 * kGiB, 3 * kGiB / 2));
  ASSERT_EQ(even->memory.size(), 2u);
  EXPECT_EQ(even->memory[1].base, 4 * kGiB);
  ram_.n_nodes = 0;
  EXPECT_FALSE(numa_of(config_, RamLayout::split(3 * kGiB, 2 * kGiB)));
}

TEST_F(AcpiNumaTest, TheTableOfAffinitiesReadsAsMeant) {
  const Bytes table = acpi_srat(machine_);
  EXPECT_EQ(table.size(), 48u + 3 * 16 + 3 * 40);
  EXPECT_EQ(checksum(table), 0);
  EXPECT_EQ(get<uint32_t>(table, 36), 1u);
  const std::string source = through_iasl("srat", table);
  EXPECT_THAT(source, HasSubstr("Proximity Domain Low(8) : 02"));
  EXPECT_THAT(source, HasSubstr("Base Address : 0000000060000000"));
  EXPECT_THAT(source, HasSubstr("Address Length : 0000000020000000"));
  EXPECT_THAT(source, HasSubstr("Base Address : 0000000100000000"));
  machine_.numa->cpu_nodes.resize(300, 2);
  const Bytes many = acpi_srat(machine_);
  EXPECT_EQ(many.size(), 48u + 255 * 16 + 45 * 24 + 3 * 40);
  EXPECT_THAT(through_iasl("srat", many), HasSubstr("Apic ID : 0000012B"));
}

TEST_F(AcpiNumaTest, NodesThatAreNotThereAreFarFromAll) {
  const Bytes table = acpi_slit(machine_);
  EXPECT_EQ(checksum(table), 0);
  EXPECT_EQ(get<uint64_t>(table, kAcpiHeaderSize), 3u);
  EXPECT_THAT(Bytes(table.begin() + kAcpiHeaderSize + 8, table.end()), ElementsAre(10, 20, 40, 20, 10, 20, 41, 20, 10));
  EXPECT_THAT(through_iasl("slit", table), HasSubstr("Localities : 0000000000000003"));
}

}  // namespace
}  // namespace nacre::machine
