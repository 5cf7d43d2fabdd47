#include "qmp/session.hpp"

#include <algorithm>
#include <new>

#include "core/base/log.hpp"

namespace nacre::qmp {

namespace {

// A request as one line of the log: a client must not be able to write lines of its own there.
std::string on_one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return text;
}

}  // namespace

Session::Session(Dispatcher& dispatcher) : dispatcher_(dispatcher) {
  put(dispatcher_.greeting());
}

void Session::put(const std::string& text) {
  output_.reserve(output_.size() + text.size() + 2);  // all of it, or nothing
  output_ += text;
  output_ += "\r\n";
  if (output_.size() > kHopeless) closed_ = true;
}

void Session::feed(std::string_view bytes, std::vector<Fd> fds) {
  // Newer ones close older ones: a client that never ends its request cannot use up the process's descriptors.
  if (!fds.empty()) fds_ = std::move(fds);
  try {
    framer_.feed(bytes);
    while (!closed_) {
      std::optional<Framer::Frame> frame = framer_.next();
      if (!frame) break;
      serve(*frame);
    }
  } catch (const std::bad_alloc&) {
    put(Dispatcher::refusal("the host has no memory for a request so long."));
    closed_ = true;  // where the next one begins is not known
  }
}

void Session::serve(const Framer::Frame& frame) {
  if (frame.error) {
    put(Dispatcher::refusal(frame.error));
    closed_ = closed_ || frame.fatal;
    return;
  }
  try {
    if (log::enabled(log::Level::Info)) log::info("qmp", "QMP: --> {}", on_one_line(frame.text));
    std::string answer = dispatcher_.answer(frame.text, *this);
    log::info("qmp", "QMP: <-- {}", answer);
    put(answer);
  } catch (const std::bad_alloc&) {
    put(Dispatcher::refusal("the host has no memory for the request, or for its answer."));
  }
  // Descriptors belong to the request they came with.
  fds_.clear();
}

void Session::send_event(const std::string& text) {
  if (output_.size() <= kSlow) {
    put(text);
    slow_ = false;
  } else if (!slow_) {
    slow_ = true;
    log::warn("qmp", "a client does not read what it is sent: it misses events from now on.");
  }
}

int Session::take_fd() {
  if (fds_.empty()) return -1;
  int fd = fds_.back().release();
  fds_.pop_back();
  return fd;
}

}  // namespace nacre::qmp
