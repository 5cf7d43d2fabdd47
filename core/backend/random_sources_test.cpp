#include "core/backend/random_sources.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace nacre {
namespace {

TEST(RandomSources, AreCharacterDevices) {
  RandomSources sources;
  ASSERT_TRUE(sources.add("a", "/dev/urandom"));
  EXPECT_EQ(sources.add("b", "/dev/no-such-file").error().message,
            "The path of random file /dev/no-such-file is not existed");
  EXPECT_EQ(sources.add("b", "/proc/self/exe").error().message,
            "The type of random file /proc/self/exe is not a character special file");
  EXPECT_EQ(sources.add("b", "/").error().message, "The type of random file / is not a character special file");
  // A pipe without a writer: opening it would wait.
  const std::string pipe = testing::TempDir() + "random_sources_test." + std::to_string(::getpid());
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_NE(sources.add("b", pipe).error().message.find("is not a character special file"), std::string::npos);
  ::unlink(pipe.c_str());
  EXPECT_NE(sources.add("a", "/dev/urandom").error().message.find("Object a has been added"), std::string::npos);

  ASSERT_TRUE(sources.find("a"));
  uint8_t bytes[32] = {}, zeroes[32] = {};
  ASSERT_EQ(::read(*sources.find("a"), bytes, sizeof bytes), static_cast<ssize_t>(sizeof bytes));
  EXPECT_NE(memcmp(bytes, zeroes, sizeof bytes), 0);
  EXPECT_TRUE(::fcntl(*sources.find("a"), F_GETFL) & O_NONBLOCK);
  EXPECT_TRUE(::fcntl(*sources.find("a"), F_GETFD) & FD_CLOEXEC);
}

TEST(RandomSources, NameTheNearest) {
  RandomSources sources;
  ASSERT_TRUE(sources.add("objrng0", "/dev/urandom"));
  Result<int> none = sources.find("objrng1");
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("Did you mean 'objrng0'?"), std::string::npos) << none.error().message;
}

}  // namespace
}  // namespace nacre
