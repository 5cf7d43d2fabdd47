#include "core/backend/chardev.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "core/backend/char_file.hpp"
#include "core/backend/test_chardev.hpp"
#include "core/backend/test_files.hpp"

namespace nacre {
namespace {

using ::testing::HasSubstr;

TEST(CharBuffer, WrapsRefusesAndRemembers) {
  CharBuffer buffer;
  bool was_empty = false;
  std::string big(CharBuffer::kBytes - 10, 'a');
  EXPECT_EQ(buffer.add(big.data(), big.size(), was_empty), big.size());
  EXPECT_TRUE(was_empty);
  EXPECT_EQ(buffer.add("0123456789abc", 13, was_empty), 10u);
  EXPECT_FALSE(was_empty);
  EXPECT_EQ(buffer.add("x", 1, was_empty), 0u);
  EXPECT_TRUE(buffer.take(big.size()));
  EXPECT_EQ(buffer.add("xyz", 3, was_empty), 3u);
  auto [data, length] = buffer.front();
  EXPECT_EQ(std::string(data, length), "0123456789");
  EXPECT_FALSE(buffer.take(length));
  EXPECT_EQ(std::string(buffer.front().first, buffer.front().second), "xyz");
  EXPECT_FALSE(buffer.drop());
  EXPECT_EQ(buffer.front().second, 0u);
}

TEST(CharFile, TakesOutputOfAnyThread) {
  TestDirectory dir;
  auto made = open_char_file("log", dir.path("out"));
  ASSERT_TRUE(made);
  TestFrontEnd front(std::move(*made));
  EXPECT_EQ(front.attach_error, "");
  EXPECT_EQ(front.device().filename(), "file:" + dir.path("out"));
  // On the loop: at once.
  EXPECT_EQ(front.write("first "), 6u);
  EXPECT_EQ(content_of(dir.path("out")), "first ");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) EXPECT_EQ(front.write("ten bytes\n"), 10u);
    });
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(front.until([&] { return content_of(dir.path("out")).size() == 6 + 40000; }));
  struct stat status {};
  ASSERT_EQ(::stat(dir.path("out").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

// The front end is in the middle of its write() and could not make use of it.
TEST(CharFile, SaysThatThereIsRoomAfterTheWriteThatHadNone) {
  TestDirectory dir;
  auto made = open_char_file("log", dir.path("out"));
  ASSERT_TRUE(made);
  TestFrontEnd front(std::move(*made));
  const std::string big(CharBuffer::kBytes + 1000, 'a');
  const int before = front.writable;
  EXPECT_EQ(front.write(big), CharBuffer::kBytes);
  EXPECT_EQ(front.writable, before);
  EXPECT_TRUE(front.until([&] { return front.writable == before + 1; }));
  EXPECT_EQ(front.write(big.substr(CharBuffer::kBytes)), 1000u);
  EXPECT_EQ(content_of(dir.path("out")), big);
}

// Answers what it is sent at once, and says so there and then, as a plugin's may.
class Echo : public Chardev {
 public:
  Echo() : Chardev("echo") {}
  ~Echo() override { detach(); }
  std::string filename() const override { return "echo"; }

 protected:
  Status start() override {
    connect();
    return {};
  }
  void stop() override {}
  size_t read_some(char* data, size_t length) override {
    const size_t bytes = std::min(length, waiting_.size());
    std::copy_n(waiting_.data(), bytes, data);
    waiting_.erase(0, bytes);
    flush();
    input_ready();
    return bytes;
  }
  ssize_t write_some(const char* data, size_t length) override {
    waiting_.append(data, length);
    input_ready();
    return static_cast<ssize_t>(length);
  }

 private:
  std::string waiting_;
};

// A front end holds a lock in its write() that it takes in its events (found by the fuzz target machine_microvm).
TEST(Chardev, NoEventComesInsideACallOfTheFrontEnd) {
  TestFrontEnd front(std::make_unique<Echo>());
  EXPECT_EQ(front.write("hello"), 5u);
  EXPECT_EQ(front.readable, 0);
  EXPECT_TRUE(front.until([&] { return front.input == "hello"; }));
  const int before = front.readable;
  char byte;
  EXPECT_EQ(front.device().read(&byte, 1), 0u);
  EXPECT_EQ(front.readable, before);
  EXPECT_TRUE(front.until([&] { return front.readable > before; }));
}

TEST(CharFile, WhatWaitsIsWrittenAtTheEnd) {
  TestDirectory dir;
  auto made = open_char_file("log", dir.path("out"));
  ASSERT_TRUE(made);
  {
    TestFrontEnd front(std::move(*made));
    std::thread([&] { front.write("last words"); }).join();
  }
  EXPECT_EQ(content_of(dir.path("out")), "last words");
}

TEST(CharFile, SaysWhyItCannot) {
  TestDirectory dir;
  EXPECT_THAT(open_char_file("log", dir.path("")).error().message, HasSubstr("chardev 'log': cannot open"));
  ASSERT_EQ(::mkfifo(dir.path("fifo").c_str(), 0600), 0);
  EXPECT_THAT(open_char_file("log", dir.path("fifo")).error().message, HasSubstr("nobody reads"));
}

TEST(CharNull, TakesAndForgets) {
  TestFrontEnd front(open_char_null("n"));
  EXPECT_EQ(front.attach_error, "");
  for (int i = 0; i < 100; ++i) EXPECT_EQ(front.write(std::string(4096, 'x')), 4096u);
  front.turn(1'000'000);
  EXPECT_EQ(front.readable, 0);
}

TEST(CharLog, KeepsHalfLinesUntilTheyAreWhole) {
  TestFrontEnd front(open_char_log("console"));
  EXPECT_EQ(front.write("a line\r\nand a ha"), 16u);
  EXPECT_EQ(front.write("lf\n"), 3u);
}

TEST(Chardev, ServesOneFrontEndAtATime) {
  TestFrontEnd front(open_char_null("n"));
  Status again = front.device().attach(front.loop(), {});
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, HasSubstr("chardev 'n' is already used"));
  front.device().detach();
  EXPECT_TRUE(front.device().attach(front.loop(), {}));
}

}  // namespace
}  // namespace nacre
