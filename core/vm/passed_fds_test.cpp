#include "core/vm/passed_fds.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nacre {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

Fd some_file() {
  return Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}
bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

TEST(PassedFds, NamesStandForNumbers) {
  PassedFds passed;
  passed.add("tap0", some_file());
  passed.add("7", some_file());
  const std::string tap = std::to_string(passed.find("tap0")), seven = std::to_string(passed.find("7"));
  const std::pair<const char*, std::string> cases[] = {
      {"tap0", tap}, {"5", "5"}, {"tap0:5", tap + ":5"}, {"5:tap0:6", "5:" + tap + ":6"}, {"7", seven}};
  for (const auto& [words, numbers] : cases) {
    Result<std::string> found = passed.in_numbers("fd", words);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(*found, numbers) << words;
  }
}

TEST(PassedFds, AWrongNameIsSaidWithTheNearest) {
  PassedFds passed;
  passed.add("vhost0", some_file());
  for (const char* words : {"vhots0", "vhots0:3", "3:vhots0"}) {
    Result<std::string> found = passed.in_numbers("vhostfds", words);
    ASSERT_FALSE(found) << words;
    EXPECT_THAT(found.error().message, HasSubstr("vhostfds: 'vhots0' is neither")) << words;
    EXPECT_THAT(found.error().message, EndsWith("Did you mean 'vhost0'?")) << words;
  }
  for (const char* words : {"", "3:", "-1", "0x3", "quite-another"}) EXPECT_FALSE(passed.in_numbers("fd", words));
}

TEST(PassedFds, KnowsWhatItStillOwns) {
  PassedFds passed;
  passed.add("a", some_file());
  const int first = passed.find("a");
  Fd second = some_file();
  const int number = second.get();
  passed.add("a", std::move(second));
  EXPECT_EQ(passed.find("a"), number);
  EXPECT_FALSE(is_open(first));
  passed.forget(number);
  EXPECT_EQ(passed.find("a"), -1);
  EXPECT_TRUE(is_open(number));
  passed.add("b", Fd(number));
  passed.remove("b");
  EXPECT_FALSE(is_open(number));
  passed.remove("b");
}

}  // namespace
}  // namespace nacre
