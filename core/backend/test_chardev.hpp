// A front end for the tests of character back ends: it echoes nothing and remembers all.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "core/backend/chardev.hpp"

namespace nacre {

// Owns a loop that the test's thread serves in until().
class TestFrontEnd {
 public:
  explicit TestFrontEnd(std::unique_ptr<Chardev> made)
      : loop_(std::move(*EventLoop::create())), device_(std::move(made)) {
    ChardevEvents events;
    events.readable = [this] {
      ++readable;
      take();
    };
    events.writable = [this] { ++writable; };
    events.opened = [this] { ++opened; };
    events.closed = [this] { ++closed; };
    Status attached = device_->attach(*loop_, std::move(events));
    attach_error = attached ? "" : attached.error().message;
  }
  ~TestFrontEnd() { device_.reset(); }

  void take() {
    char data[4096];
    while (accept_input) {
      uint32_t n = device_->read(data, sizeof data);
      if (n == 0) break;
      input.append(data, n);
    }
  }
  // Serves the loop until `done`, at most five seconds; false when that was not enough.
  bool until(const std::function<bool()>& done) {
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      turn(1'000'000);
    }
    return true;
  }
  // Serves it for about so long; how many times it woke up is what a busy loop would show.
  void turn(uint64_t ns) {
    Timer* timer = loop_->timer([this] { loop_->stop(); });
    loop_->arm(timer, ns);
    loop_->run();
    loop_->destroy(timer);
  }
  uint32_t write(const std::string& text) { return device_->write(text.data(), static_cast<uint32_t>(text.size())); }
  Chardev& device() { return *device_; }
  EventLoop& loop() { return *loop_; }
  void drop_device() { device_.reset(); }

  std::string attach_error;
  std::string input;
  bool accept_input = true;
  int readable = 0;
  int writable = 0;
  int opened = 0;
  int closed = 0;

 private:
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Chardev> device_;
};

// CPU time of the process, ns.
inline uint64_t cpu_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace nacre
