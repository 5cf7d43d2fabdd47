#include "core/vm/announcer.hpp"

#include <algorithm>

namespace nacre {

void Announcer::start(Plan plan) {
  stop();
  plan_ = std::move(plan);
  done_ = 0;
  timer_ = loop_.timer([this] { announce(); });
  announce();
}

void Announcer::stop() {
  if (timer_) loop_.destroy(std::exchange(timer_, nullptr));
}

void Announcer::announce() {
  if (done_ < plan_.rounds) ask_(plan_.names);
  if (++done_ >= plan_.rounds) return stop();
  constexpr uint64_t kNanosecondsPerMillisecond = 1'000'000;
  const uint64_t wait = std::min(plan_.initial + (done_ - 1) * plan_.step, plan_.max);
  loop_.arm(timer_, std::max<uint64_t>(wait, 1) * kNanosecondsPerMillisecond);
}

}  // namespace nacre
