// Physical region pages: where a command's data is (NVM Express 1.4 §4.3).
#pragma once

#include <sys/uio.h>

#include <nacre/memory.hpp>

#include "nvme.hpp"

namespace nvme {

// Writes the host addresses of `length` bytes (1 to 2^MDTS pages) into `parts`, room for kMostPages, and their number
// into `n`. Every entry of a list is read once.
Status translate_prps(const nacre::sdk::MemoryView& memory, uint64_t prp1, uint64_t prp2, uint64_t length, iovec* parts,
                      uint32_t& n);

}  // namespace nvme
