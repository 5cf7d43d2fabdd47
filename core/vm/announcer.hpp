// Asks NICs, several times, to make themselves known on their networks again (QMP announce-self): after a guest has
// been moved or a network changed, switches and neighbours look for it where it was.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/loop/event_loop.hpp"

namespace nacre {

// Main thread only.
class Announcer {
 public:
  // How often and when: the first time at once, the second `initial` ms later, and each further one `step` ms later
  // than the one before it took, but no more than `max`.
  struct Plan {
    uint64_t initial = 50;
    uint64_t max = 550;
    uint64_t rounds = 5;
    uint64_t step = 100;
    std::vector<std::string> names;  // ids of network back ends or of their devices; empty: all
  };

  // `ask(names)` asks them once.
  using Ask = std::function<void(const std::vector<std::string>& names)>;
  Announcer(EventLoop& loop, Ask ask) : loop_(loop), ask_(std::move(ask)) {}
  ~Announcer() { stop(); }
  Announcer(const Announcer&) = delete;
  Announcer& operator=(const Announcer&) = delete;

  // Begins; what was under way ends.
  void start(Plan plan);
  void stop();

 private:
  void announce();

  EventLoop& loop_;
  const Ask ask_;
  Plan plan_;
  uint64_t done_ = 0;
  Timer* timer_ = nullptr;
};

}  // namespace nacre
