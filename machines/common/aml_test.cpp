#include "machines/common/aml.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nacre::machine {
namespace {

using ::testing::ElementsAre;

TEST(Aml, WritesPaths) {
  EXPECT_EQ(aml::path("\\_SB"), (Bytes{'\\', '_', 'S', 'B', '_'}));
  EXPECT_EQ(aml::path("A.BC"), (Bytes{0x2e, 'A', '_', '_', '_', 'B', 'C', '_', '_'}));
  EXPECT_EQ(aml::path("A.B.C").size(), 2u + 12u);
  EXPECT_EQ(aml::path("\\"), (Bytes{'\\', 0}));
}

TEST(Aml, WritesIntegersInTheirShortestForm) {
  EXPECT_THAT(aml::integer(0), ElementsAre(0));
  EXPECT_THAT(aml::integer(1), ElementsAre(1));
  EXPECT_THAT(aml::integer(255), ElementsAre(0x0a, 255));
  EXPECT_THAT(aml::integer(256), ElementsAre(0x0b, 0, 1));
  EXPECT_THAT(aml::integer(0x10000), ElementsAre(0x0c, 0, 0, 1, 0));
  EXPECT_THAT(aml::integer(1ull << 32), ElementsAre(0x0e, 0, 0, 0, 0, 1, 0, 0, 0));
}

TEST(Aml, PacksPnpIds) {
  EXPECT_THAT(aml::eisa_id("PNP0501"), ElementsAre(0x0c, 0x41, 0xd0, 0x05, 0x01));
}

TEST(Aml, CountsItsLengthsAtEachWidth) {
  // ACPI 6.4 §20.2.4: the length counts its own bytes.
  auto scope_of = [](size_t size) { return aml::scope("A", {Bytes(size, 0x5a)}); };
  EXPECT_EQ(scope_of(58)[1], 63);  // one byte of length, four of name
  Bytes two = scope_of(59);
  EXPECT_EQ(two[1] >> 6, 1);
  EXPECT_EQ((two[1] & 15) | two[2] << 4, 65);
  two = scope_of(4095 - 6);
  EXPECT_EQ(two[1] >> 6, 1);
  EXPECT_EQ((two[1] & 15) | two[2] << 4, 4095);
  Bytes three = scope_of(4095 - 5);
  EXPECT_EQ(three[1] >> 6, 2);
  EXPECT_EQ((three[1] & 15) | three[2] << 4 | three[3] << 12, 4097);
}

}  // namespace
}  // namespace nacre::machine
