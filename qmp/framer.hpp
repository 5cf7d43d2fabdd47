// Cuts the bytes of a client into messages: one JSON object each, whatever stands between them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nacre::qmp {

// Finds the end of an object by its braces and strings, without parsing it. Memory is bounded by the limits.
class Framer {
 public:
  static constexpr size_t kMaxMessage = 1 << 20;  // bytes
  static constexpr int kMaxDepth = 64;            // nested objects and arrays

  struct Frame {
    std::string text;             // one object, or what is wrong in `error`
    const char* error = nullptr;  // a sentence; the bytes up to the next line end were thrown away
    bool fatal = false;           // the connection is of no more use
  };

  // Takes more bytes. After a fatal frame it takes none.
  void feed(std::string_view bytes);
  // The next whole message, or nothing when more bytes are needed.
  std::optional<Frame> next();

 private:
  Frame broken(const char* error, bool fatal);

  std::string buffer_;
  size_t scanned_ = 0;  // bytes of buffer_ that the state below has seen
  int depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool skipping_ = false;  // until the end of the line
  bool dead_ = false;
};

}  // namespace nacre::qmp
