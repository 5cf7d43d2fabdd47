// Pages behind memory before anybody uses it.
#pragma once

#include <cstdint>

namespace nacre {

// Puts writable pages behind [at, at + length), whole pages of `page_size` bytes, by several threads where it is much;
// what is in them stays. Returns 0, or errno: ENOMEM or EFAULT where the host has none left.
int populate(uint8_t* at, uint64_t length, uint64_t page_size);

// The same for one stretch, on kernels older than Linux 5.14, which cannot be asked for it.
int populate_by_touching(uint8_t* at, uint64_t length, uint64_t page_size);

}  // namespace nacre
