#include "qmp/framer.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace nacre::qmp {
namespace {

std::vector<std::string> all(Framer& framer) {
  std::vector<std::string> texts;
  while (auto frame = framer.next()) texts.push_back(frame->error ? std::string("!") + frame->error : frame->text);
  return texts;
}

TEST(Framer, CutsAtEveryPosition) {
  const std::string first = R"({"execute":"x","arguments":{"a":"}{\"\\","b":[1,{}]}})", second = "{\"execute\":\"y\"}";
  const std::string stream = " " + first + "\r\n" + second + second + "\n";
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    Framer framer;
    framer.feed(stream.substr(0, cut));
    std::vector<std::string> texts = all(framer);
    framer.feed(stream.substr(cut));
    for (std::string& text : all(framer)) texts.push_back(text);
    EXPECT_EQ(texts, (std::vector<std::string>{first, second, second})) << cut;
  }
}

TEST(Framer, SkipsALineOfGarbage) {
  Framer framer;
  framer.feed("hello there\n{\"a\":1}");
  auto texts = all(framer);
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_EQ(texts[0][0], '!');
  EXPECT_EQ(texts[1], "{\"a\":1}");
}

TEST(Framer, AForgottenQuotationMarkCostsItsLineOnly) {
  Framer framer;
  framer.feed("{\"execute: \"stop\"}\r\n{\"a\":1}");
  auto texts = all(framer);
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_EQ(texts[0][0], '!');
  EXPECT_EQ(texts[1], "{\"a\":1}");
}

TEST(Framer, GivesUpOnDeepNesting) {
  Framer framer;
  framer.feed("{\"a\":" + std::string(10'000'000, '['));
  auto frame = framer.next();
  ASSERT_TRUE(frame && frame->fatal);
  framer.feed("{}");
  EXPECT_FALSE(framer.next());
}

TEST(Framer, GivesUpOnAnEndlessMessage) {
  Framer framer;
  bool fatal = false;
  framer.feed("{\"a\":\"");
  for (int i = 0; i < 200 && !fatal; ++i) {
    framer.feed(std::string(64 * 1024, 'x'));
    if (auto frame = framer.next()) fatal = frame->fatal;
    EXPECT_LE(i, 18);
  }
  EXPECT_TRUE(fatal);
}

TEST(Framer, TakesGarbageWithoutALineEndInBoundedMemory) {
  Framer framer;
  int errors = 0;
  for (int i = 0; i < 160; ++i) {
    framer.feed(std::string(64 * 1024, 'g'));
    while (auto frame = framer.next()) errors += frame->error != nullptr;
  }
  EXPECT_EQ(errors, 1);
  framer.feed("\n{}");
  auto frame = framer.next();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->text, "{}");
}

TEST(Framer, SurvivesRandomBytes) {
  std::mt19937 random(5);
  const char alphabet[] = "{}[]\"\\,:a1 \n\x80";
  Framer framer;
  for (int i = 0; i < 100000; ++i) {
    std::string bytes;
    for (unsigned n = random() % 20; n-- > 0;) bytes += alphabet[random() % (sizeof alphabet - 1)];
    framer.feed(bytes);
    while (auto frame = framer.next())
      if (frame->fatal) framer = Framer();
  }
}

}  // namespace
}  // namespace nacre::qmp
