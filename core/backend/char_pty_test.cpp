#include "core/backend/char_pty.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "core/backend/test_chardev.hpp"

namespace nacre {
namespace {

TEST(CharPty, TalksToWhoeverOpensIt) {
  auto made = open_char_pty("pty0");
  ASSERT_TRUE(made) << made.error().message;
  TestFrontEnd front(std::move(*made));
  ASSERT_EQ(front.attach_error, "");
  std::string path = front.device().filename().substr(4);
  // Nobody there: taken and dropped, and no busy loop.
  for (int i = 0; i < 100; ++i) EXPECT_EQ(front.write(std::string(4096, 'x')), 4096u);
  uint64_t before = cpu_ns();
  front.turn(200'000'000);
  EXPECT_LT(cpu_ns() - before, 50'000'000u);
  EXPECT_EQ(front.opened, 0);
  for (int round = 1; round <= 3; ++round) {
    Fd terminal(::open(path.c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK));
    ASSERT_TRUE(terminal);
    ASSERT_TRUE(front.until([&] { return front.opened == round; }));
    front.input.clear();
    ASSERT_EQ(::write(terminal.get(), "typed\r\x03", 7), 7);
    EXPECT_TRUE(front.until([&] { return front.input == "typed\r\x03"; })) << "raw: every byte as it is";
    std::thread([&] { EXPECT_EQ(front.write("shown\n"), 6u); }).join();
    std::string shown;
    EXPECT_TRUE(front.until([&] {
      char data[100];
      ssize_t n = ::read(terminal.get(), data, sizeof data);
      if (n > 0) shown.append(data, static_cast<size_t>(n));
      return shown == "shown\n";
    }));
    terminal.close();
    EXPECT_TRUE(front.until([&] { return front.closed == round; }));
  }
}

TEST(CharPty, ASlowReaderStopsTheWriterOnly) {
  auto made = open_char_pty("pty0");
  ASSERT_TRUE(made);
  TestFrontEnd front(std::move(*made));
  Fd terminal(::open(front.device().filename().substr(4).c_str(), O_RDWR | O_NOCTTY | O_NONBLOCK));
  ASSERT_TRUE(front.until([&] { return front.opened == 1; }));
  std::string block(4096, 'y');
  size_t taken = 0;
  while (taken < (1u << 20)) {
    uint32_t n = front.write(block);
    taken += n;
    if (n < block.size()) break;
  }
  EXPECT_LT(taken, 1u << 20);
  size_t shown = 0;
  EXPECT_TRUE(front.until([&] {
    char data[4096];
    ssize_t n;
    while ((n = ::read(terminal.get(), data, sizeof data)) > 0) shown += static_cast<size_t>(n);
    return shown == taken;
  })) << shown
      << " of " << taken;
  EXPECT_GE(front.writable, 1);
}

}  // namespace
}  // namespace nacre
