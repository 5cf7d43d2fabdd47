// The bytes of one run, taken apart, and the rules that a run holds Nacre to.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

namespace nacre::fuzz {

// Reads from the front. Behind the end there are zeroes, so every input is a whole one.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : left_(data, size) {}

  bool empty() const { return left_.empty(); }
  size_t left() const { return left_.size(); }
  // An integer of T's width, little-endian.
  template <typename T>
  T number() {
    T value = 0;
    const std::span<const uint8_t> bytes = take(sizeof value);
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  // 0 .. n - 1 out of one byte, two where n is above 256.
  uint32_t below(uint32_t n) { return (n > 256 ? number<uint16_t>() : number<uint8_t>()) % n; }
  // The next `n` bytes, or what there is of them.
  std::span<const uint8_t> take(size_t n) {
    const std::span<const uint8_t> taken = left_.first(n < left_.size() ? n : left_.size());
    left_ = left_.subspan(taken.size());
    return taken;
  }
  std::string text(size_t n) {
    const std::span<const uint8_t> bytes = take(n);
    return {bytes.begin(), bytes.end()};
  }

 private:
  std::span<const uint8_t> left_;
};

// Ends the process, and so the run, with the words where the rule does not hold.
inline void require(bool holds, const char* rule, const std::string& about = {}) {
  if (holds) return;
  std::fprintf(stderr, "rule broken: %s%s%s\n", rule, about.empty() ? "" : ": ", about.c_str());
  std::abort();
}

// What every refusal of Nacre's is: a sentence in words. It may quote the input, line ends and all.
inline void require_sentence(const std::string& message) {
  require(message.size() > 10 && message.find(' ') != std::string::npos, "an error is a sentence", message);
}

}  // namespace nacre::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" int LLVMFuzzerInitialize(int* count, char*** words);
