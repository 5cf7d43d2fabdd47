// The clock of timers and devices: the host's, or one that only a test moves.
#pragma once

#include <cstdint>

namespace nacre {

// [any] CLOCK_MONOTONIC in nanoseconds; under virtual time what it was moved to, from 0 up.
uint64_t monotonic_ns();
// [any] CLOCK_REALTIME in nanoseconds; under virtual time what it was at its beginning, and as much later as that has
// moved.
uint64_t realtime_ns();

// [main, before the first timer is armed] From now on time stands still, in the whole process, until it is moved. The
// time of day is the host's, or what was given. Again: time begins anew at 0, of the same time of day, for a process
// that has one machine after another.
void begin_virtual_time();
void begin_virtual_time(uint64_t real_ns);
bool is_time_virtual();
// Moves it forward to `ns`; never back. Whoever does so then has every loop expire its timers (EventLoop::expire_due).
void move_virtual_time(uint64_t ns);

}  // namespace nacre
