// What the host keeps in a block request while it is its own, and queues of requests that need no memory.
#pragma once

#include <nacre/abi/block.h>

#include <new>
#include <utility>

namespace nacre {

class BlockChannel;

// Lives in nacre_block_request::host.
struct BlockScratch {
  nacre_block_request* next;
  BlockChannel* channel;
  uint64_t done;   // bytes already transferred
  uint32_t op;     // the device's, or NACRE_BLOCK_WRITE_ZEROES for a write of zeroes
  uint32_t flags;  // likewise
};
static_assert(sizeof(BlockScratch) <= 4 * sizeof(uint64_t), "the last two words are a driver's, see block_driver.h");

inline BlockScratch& make_scratch(nacre_block_request& request, BlockChannel* channel) {
  return *new (request.host) BlockScratch{nullptr, channel, 0, request.op, request.flags};
}

inline BlockScratch& scratch(nacre_block_request& request) {
  return *std::launder(reinterpret_cast<BlockScratch*>(request.host));
}

// First in, first out, linked through the requests. Not synchronised.
class BlockQueue {
 public:
  BlockQueue() = default;
  BlockQueue(BlockQueue&& other) noexcept
      : head_(std::exchange(other.head_, nullptr)), tail_(std::exchange(other.tail_, nullptr)) {}
  BlockQueue& operator=(BlockQueue&& other) noexcept {
    head_ = std::exchange(other.head_, nullptr);
    tail_ = std::exchange(other.tail_, nullptr);
    return *this;
  }

  bool empty() const { return !head_; }
  void push(nacre_block_request& request) {
    scratch(request).next = nullptr;
    (tail_ ? scratch(*tail_).next : head_) = &request;
    tail_ = &request;
  }
  nacre_block_request* front() const { return head_; }
  // NULL when there is none.
  nacre_block_request* pop() {
    nacre_block_request* request = head_;
    if (!request) return nullptr;
    head_ = scratch(*request).next;
    if (!head_) tail_ = nullptr;
    return request;
  }
  // Puts all of `other` behind.
  void append(BlockQueue&& other) {
    if (other.empty()) return;
    (tail_ ? scratch(*tail_).next : head_) = other.head_;
    tail_ = other.tail_;
    other.head_ = other.tail_ = nullptr;
  }

 private:
  nacre_block_request* head_ = nullptr;
  nacre_block_request* tail_ = nullptr;
};

}  // namespace nacre
