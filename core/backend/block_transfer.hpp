// One block request done from beginning to end in the calling thread.
#pragma once

#include <nacre/abi/block.h>

#include "core/backend/block_backend.hpp"

namespace nacre {

// Does the rest of the request (its scratch says what, and how much is done already) and returns its status. Blocks.
// Reads and writes are whole or fail; those that direct I/O cannot take as they are go through an aligned copy. Any
// thread; failures are reported to the log.
nacre_status perform_block_request(BlockBackend& backend, nacre_block_request& request);

// Whether direct I/O takes the request's offset, length and buffers as they are. Always so without O_DIRECT.
bool is_aligned(const BlockBackend& backend, const nacre_block_request& request);

// Whether all bytes of the buffers are zero.
bool is_zero(const iovec* iov, uint32_t n_iov);

}  // namespace nacre
