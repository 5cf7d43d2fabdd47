// A guest-physical range as the parts of it that lie in one region each.
#pragma once

#include <nacre/abi/memory.h>

#include <algorithm>
#include <cstdint>

namespace nacre {

// Calls `visit(hva, done, part)` for each part of [gpa, gpa + length) in order; `done` bytes came before it. Returns
// false, without a call, when any byte is no mapped memory or its region has one of the flags `without`.
template <typename Visit>
bool for_each_part(const nacre_memory_view& view, uint64_t gpa, uint64_t length, uint32_t without, Visit visit) {
  uint64_t end = 0;
  if (__builtin_add_overflow(gpa, length, &end)) return false;
  const nacre_memory_region* last = view.regions + view.n_regions;
  auto walk = [&](auto&& each) {
    uint64_t at = gpa;
    for (const nacre_memory_region* region = view.regions; region != last && at < end; ++region) {
      if (at >= region->gpa + region->len) continue;
      if (at < region->gpa || !region->hva || (region->flags & without)) return false;
      const uint64_t part = std::min(end, region->gpa + region->len) - at;
      each(region->hva + (at - region->gpa), at - gpa, part);
      at += part;
    }
    return at == end;
  };
  if (!walk([](uint8_t*, uint64_t, uint64_t) {})) return false;
  return walk(visit);
}

}  // namespace nacre
