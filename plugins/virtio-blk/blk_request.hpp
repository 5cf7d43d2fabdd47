// One block request: from a descriptor chain to what the back end is asked, checked as virtio 1.2 §5.2.6 wants it.
#pragma once

#include <nacre/abi/block.h>

#include <nacre/descriptor_chain.hpp>

#include "blk_layout.hpp"

namespace nacre::virtio_blk {

// What the device knows that a request is checked against.
struct DiskFacts {
  bool present = true;    // false: there is no drive behind the device, and so nothing to do for a request
  uint64_t capacity = 0;  // bytes
  bool readonly = false;
  bool discard = false;       // as negotiated
  bool write_zeroes = false;  // as negotiated
  char id[kIdBytes] = {};
};

// A request in flight. `backend` comes first: the back end hands its address back.
struct Request {
  nacre_block_request backend;
  uint8_t* status;   // where the driver looks for the result
  uint32_t written;  // bytes of the used element, with the status byte
  uint16_t head;
  bool write_through;  // a write whose completion must wait for a flush
  Request* next_free;

  iovec* buffers() { return reinterpret_cast<iovec*>(this + 1); }  // the queue gives each request room for its chain
};

enum class Parsed {
  Submit,     // `backend` is to be submitted
  Completed,  // the status byte is written: push it
  Malformed,  // no header or no status byte: the device is broken
};

// Reads the chain's header and prepares the request.
Parsed parse(Request& request, sdk::DescriptorChain& chain, const DiskFacts& disk);

}  // namespace nacre::virtio_blk
