#include "qmp/framer.hpp"

namespace nacre::qmp {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

}  // namespace

void Framer::feed(std::string_view bytes) {
  if (!dead_) buffer_.append(bytes);
}

Framer::Frame Framer::broken(const char* error, bool fatal) {
  dead_ = fatal;
  if (fatal) buffer_.clear();
  scanned_ = 0;
  depth_ = 0;
  in_string_ = escaped_ = false;
  skipping_ = !fatal;
  return {"", error, fatal};
}

std::optional<Framer::Frame> Framer::next() {
  if (skipping_) {
    size_t end = buffer_.find('\n');
    buffer_.erase(0, end == std::string::npos ? end : end + 1);
    if (end == std::string::npos) return std::nullopt;
    skipping_ = false;
  }
  if (depth_ == 0) {
    size_t first = 0;
    while (first < buffer_.size() && is_space(buffer_[first])) ++first;
    buffer_.erase(0, first);
    scanned_ = 0;
    if (buffer_.empty()) return std::nullopt;
    if (buffer_[0] != '{') return broken("a request must be a JSON object; this line does not begin with '{'.", false);
  }
  for (; scanned_ < buffer_.size(); ++scanned_) {
    char c = buffer_[scanned_];
    if (scanned_ >= kMaxMessage) return broken("the request is longer than 1 MiB.", true);
    if (in_string_) {
      // JSON has no raw control characters in strings (RFC 8259 §7): a forgotten quotation mark ends with its line.
      if (static_cast<unsigned char>(c) < 0x20) {
        buffer_.erase(0, scanned_);
        return broken("a string of the request has a line end or another raw control character in it.", false);
      }
      if (escaped_)
        escaped_ = false;
      else if (c == '\\')
        escaped_ = true;
      else if (c == '"')
        in_string_ = false;
      continue;
    }
    if (c == '"') in_string_ = true;
    if (c == '{' || c == '[') {
      if (++depth_ > kMaxDepth) return broken("the request is nested deeper than 64 levels.", true);
    }
    if ((c == '}' || c == ']') && --depth_ == 0) {
      Frame frame{buffer_.substr(0, scanned_ + 1), nullptr, false};
      buffer_.erase(0, scanned_ + 1);
      scanned_ = 0;
      return frame;
    }
  }
  return std::nullopt;
}

}  // namespace nacre::qmp
