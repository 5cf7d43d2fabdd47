// From the page numbers of an inflate request to ranges of memory.
#pragma once

#include <algorithm>
#include <nacre/memory.hpp>
#include <span>

#include "balloon_layout.hpp"

namespace nacre::virtio_balloon {

// Calls `visit(gpa, length)` for each part of the run of pages [gpa, end) that is writable RAM.
template <typename Visit>
void clip_to_ram(uint64_t gpa, uint64_t end, const sdk::MemoryView& memory, Visit visit) {
  for (uint32_t i = 0; i < memory.size(); ++i) {
    const nacre_memory_region& region = memory[i];
    if (!region.hva || region.flags & NACRE_MEMORY_READONLY) continue;
    const uint64_t from = std::max(gpa, region.gpa);
    const uint64_t to = std::min(end, region.gpa + region.len);
    if (from < to) visit(from, to - from);
  }
}

// Sorts `frames`, the page numbers, and calls `visit(gpa, length)` in ascending order for each longest run of pages
// among them that lies in one region of RAM. Numbers that come twice count once; those outside RAM are skipped.
template <typename Visit>
void for_each_run(std::span<uint32_t> frames, const sdk::MemoryView& memory, Visit visit) {
  std::sort(frames.begin(), frames.end());
  for (size_t i = 0; i < frames.size();) {
    const uint64_t first = frames[i];
    uint64_t end = first + 1;  // wider than a page number: it does not wrap
    for (++i; i < frames.size() && frames[i] <= end; ++i) end = frames[i] + uint64_t{1};
    clip_to_ram(first * kPageSize, end * kPageSize, memory, visit);
  }
}

}  // namespace nacre::virtio_balloon
