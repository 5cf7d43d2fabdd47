#include "machines/common/mp_table.hpp"

#include <gtest/gtest.h>

#include <map>

#include "machines/common/fake_guest.hpp"

namespace nacre::machine {
namespace {

uint8_t sum(std::span<const uint8_t> bytes) {
  uint8_t total = 0;
  for (uint8_t byte : bytes) total = static_cast<uint8_t>(total + byte);
  return total;
}

// Walks the table as a kernel does; returns its address.
uint64_t check(const FakeGuest& guest, uint32_t vcpus) {
  EXPECT_EQ(guest.text(0x9fc00, 4), "_MP_");
  EXPECT_EQ(sum(guest.bytes(0x9fc00, 16)), 0);
  const uint64_t at = guest.at<uint32_t>(0x9fc04);
  EXPECT_EQ(guest.text(at, 4), "PCMP");
  const size_t length = guest.at<uint16_t>(at + 4);
  EXPECT_EQ(sum(guest.bytes(at, length)), 0);
  std::map<uint8_t, uint32_t> entries;
  uint8_t next_id = 0;
  uint64_t entry = at + 44;
  for (uint32_t i = 0; i < guest.at<uint16_t>(at + 34); ++i) {
    const uint8_t type = guest.at<uint8_t>(entry);
    ++entries[type];
    if (type == 0) {
      EXPECT_EQ(guest.at<uint8_t>(entry + 1), next_id);
      EXPECT_EQ(guest.at<uint8_t>(entry + 3), next_id++ == 0 ? 3 : 1);
    }
    if (type == 3) {
      EXPECT_EQ(guest.at<uint8_t>(entry + 5), guest.at<uint8_t>(entry + 7));
    }
    entry += type == 0 ? 20 : 8;
  }
  EXPECT_EQ(entry, at + length);
  EXPECT_EQ(entries, (std::map<uint8_t, uint32_t>{{0, vcpus}, {1, 1}, {2, 1}, {3, 24}, {4, 2}}));
  return at;
}

TEST(MpTable, StandsInTheEbda) {
  for (uint32_t vcpus : {1u, 2u, 37u}) {
    FakeGuest guest(2 * kMiB);
    ASSERT_TRUE(write_mp_table(vcpus, guest.memory()));
    EXPECT_EQ(check(guest, vcpus), 0x9fc10u);
    EXPECT_EQ(guest.at<uint8_t>(0xa0000), 0xaa);
  }
}

TEST(MpTable, StandsInTheBiosAreaWhenItIsLarge) {
  for (uint32_t vcpus : {38u, 254u}) {
    FakeGuest guest(2 * kMiB);
    ASSERT_TRUE(write_mp_table(vcpus, guest.memory()));
    EXPECT_EQ(check(guest, vcpus), 0xf0000u);
    EXPECT_EQ(guest.at<uint8_t>(0xa0000), 0xaa);
  }
}

TEST(MpTable, ListsAsManyProcessorsAsItsIdsCount) {
  FakeGuest guest(2 * kMiB);
  ASSERT_TRUE(write_mp_table(300, guest.memory()));
  check(guest, 254);
}

}  // namespace
}  // namespace nacre::machine
