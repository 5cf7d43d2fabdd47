#include "machines/common/smbios.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "machines/common/fake_guest.hpp"

namespace nacre::machine {
namespace {

// The structures of a table as its reader finds them, by type: how often, and the last one's bytes and strings.
struct Seen {
  int count = 0;
  Bytes formatted;
  std::vector<std::string> strings;
  std::string text(size_t offset) const {
    const uint8_t number = formatted.at(offset);
    return number ? strings.at(number - 1u) : "";
  }
};

std::map<int, Seen> parse(std::span<const uint8_t> tables) {
  std::map<int, Seen> seen;
  size_t at = 0;
  while (at + 4 <= tables.size()) {
    const size_t length = tables[at + 1];
    Seen& one = seen[tables[at]];
    ++one.count;
    one.formatted.assign(tables.begin() + static_cast<long>(at), tables.begin() + static_cast<long>(at + length));
    one.strings.clear();
    at += length;
    while (tables[at]) {
      one.strings.emplace_back(reinterpret_cast<const char*>(tables.data()) + at);
      at += one.strings.back().size() + 1;
    }
    at += one.strings.empty() ? 2 : 1;
  }
  EXPECT_EQ(at, tables.size());
  return seen;
}

nacre_machine_config config_of(std::span<const nacre_smbios_field> fields) {
  nacre_machine_config config{};
  config.vcpus = 4;
  config.max_vcpus = 8;
  config.sockets = 2;
  config.ram_size = 40 * kGiB;
  config.smbios = fields.data();
  config.n_smbios = static_cast<uint32_t>(fields.size());
  return config;
}

TEST(Smbios, IsNotThereWhenNobodyAsks) {
  EXPECT_FALSE(smbios_files(config_of({})));
}

TEST(Smbios, SaysWhatTheUserSaysAndHowManyThereAre) {
  const std::vector<nacre_smbios_field> fields = {{0, 0, "vendor", "ACME"},
                                                  {0, 0, "date", "11/29/2026"},
                                                  {1, 0, "serial", "1234"},
                                                  {1, 0, "uuid", "00112233-4455-6677-8899-aabbccddeeff"},
                                                  {2, 0, "", ""},
                                                  {4, 0, "sock_pfx", "Socket"},
                                                  {4, 0, "max-speed", "3000"},
                                                  {17, 0, "part", "P-1"}};
  const auto files = smbios_files(config_of(fields));
  ASSERT_TRUE(files);
  auto seen = parse(files->tables);
  EXPECT_EQ(seen[0].text(4), "ACME");
  EXPECT_EQ(seen[0].text(5), "");
  EXPECT_EQ(seen[0].text(8), "11/29/2026");
  EXPECT_EQ(seen[1].text(4), "Nacre");
  EXPECT_EQ(seen[1].text(7), "1234");
  const Bytes uuid = {0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
  EXPECT_EQ(Bytes(seen[1].formatted.begin() + 8, seen[1].formatted.begin() + 24), uuid);
  EXPECT_EQ(seen[2].count, 1);
  EXPECT_EQ(seen[4].count, 2);
  EXPECT_EQ(seen[4].text(4), "Socket 1");
  EXPECT_EQ(get<uint16_t>(seen[4].formatted, 0x14), 3000);
  EXPECT_EQ(seen[4].formatted[0x23], 4);  // cores of a socket
  EXPECT_EQ(seen[17].text(0x1a), "P-1");
  EXPECT_EQ(get<uint32_t>(seen[17].formatted, 0x1c), 40u * 1024);
  EXPECT_EQ(seen[127].count, 1);
  // The lengths that DSP0134 3.4 gives for these types.
  const std::map<int, size_t> lengths = {{0, 0x18},  {1, 0x1b},  {2, 0x0f},  {3, 0x16},  {4, 0x30},
                                         {16, 0x17}, {17, 0x28}, {19, 0x1f}, {32, 0x0b}, {127, 4}};
  for (const auto& [type, length] : lengths) EXPECT_EQ(seen[type].formatted.size(), length) << "type " << type;
  EXPECT_EQ(seen.size(), lengths.size());
}

TEST(Smbios, IsFoundBelowOneMebibyte) {
  const std::vector<nacre_smbios_field> fields = {{1, 0, "", ""}};
  const auto files = smbios_files(config_of(fields));
  ASSERT_TRUE(files);
  FakeGuest guest(2 * kMiB);
  ASSERT_TRUE(write_smbios(*files, guest.memory()));
  EXPECT_EQ(guest.text(0xf0000, 5), "_SM3_");
  EXPECT_EQ(checksum(guest.bytes(0xf0000, 24)), 0);
  EXPECT_EQ(guest.at<uint32_t>(0xf000c), files->tables.size());
  const auto at = guest.at<uint64_t>(0xf0010);
  EXPECT_EQ(parse(guest.bytes(at, files->tables.size()))[1].text(5), "q35");
}

TEST(Smbios, IsRefusedWhereItDoesNotFit) {
  const std::string text(255, 'x');
  const std::vector<nacre_smbios_field> fields = {{4, 0, "serial", text.c_str()}, {4, 0, "part", text.c_str()}};
  nacre_machine_config config = config_of(fields);
  config.max_vcpus = config.sockets = 200;
  const auto files = smbios_files(config);
  ASSERT_TRUE(files);
  FakeGuest guest(2 * kMiB);
  const sdk::Status written = write_smbios(*files, guest.memory());
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("fewer sockets"), std::string::npos) << written.error().message;
}

}  // namespace
}  // namespace nacre::machine
