#include "blk_queue.hpp"

#include <new>

namespace nacre::virtio_blk {

// In front of each request stands its queue, behind it the buffers of its chain.
struct BlkQueue::Slot {
  BlkQueue* queue;
  Request request;
};

BlkQueue& BlkQueue::of(Request& request) {
  auto* bytes = reinterpret_cast<uint8_t*>(&request) - offsetof(Slot, request);
  return *reinterpret_cast<Slot*>(bytes)->queue;
}

sdk::Status BlkQueue::start(const nacre_virtqueue& queue, const sdk::MemoryView& memory, uint64_t features,
                            nacre_loop* loop, nacre_error* slot_for_words) {
  if (!ring_.start(queue, memory, features)) return sdk::fail("a queue of the driver is not in memory");
  slot_size_ = sizeof(Slot) + queue.num * sizeof(iovec);
  // Not initialised: a page is touched only when as many requests are in flight.
  slots_.reset(new uint8_t[slot_size_ * queue.num]);
  batch_.reserve(queue.num);
  free_ = nullptr;
  unused_ = 0;
  kick_fd_ = queue.kick_fd;
  return kick_.start(
      loop, queue.kick_fd, NACRE_LOOP_READ | NACRE_LOOP_EDGE,
      [](void* self) noexcept { static_cast<BlkQueue*>(self)->process(); }, this, slot_for_words);
}

// The most recently used slot first: its memory is warm. Slots that were never used are made on demand.
Request* BlkQueue::take() {
  if (Request* request = free_) {
    free_ = request->next_free;
    return request;
  }
  if (unused_ == ring_.num()) return nullptr;
  auto* made = new (slots_.get() + unused_++ * slot_size_) Slot{};
  made->queue = this;
  return &made->request;
}

void BlkQueue::give_back(Request& request) {
  ring_.push(request.head, request.written);
  request.next_free = free_;
  free_ = &request;
}

void BlkQueue::process() {
  using Pop = sdk::Virtqueue::Pop;
  if (processing_ || dead_) return;
  processing_ = true;
  uint32_t left = 2 * ring_.num();
  do {
    batch_.clear();
    for (; left > 0; --left) {
      Request* request = take();
      // More chains than ring entries: the driver has made one available twice. They wait for the others.
      if (!request) break;
      sdk::DescriptorChain chain;
      Pop popped = ring_.pop(chain, request->buffers(), ring_.num());
      Parsed parsed = popped == Pop::Chain ? parse(*request, chain, disk_) : Parsed::Malformed;
      if (parsed == Parsed::Submit) {
        request->write_through = write_through_ && request->backend.op == NACRE_BLOCK_WRITE;
        batch_.push_back(&request->backend);
        continue;
      }
      if (parsed == Parsed::Completed) {
        give_back(*request);
        continue;
      }
      request->next_free = free_;
      free_ = request;
      if (popped == Pop::Empty) break;
      stop();
      broken_(opaque_, popped == Pop::Broken ? ring_.broken() : "a request without a header or a status byte");
      break;
    }
    if (!batch_.empty()) block_.submit(batch_);
  } while (!dead_ && left > 0 && free_or_unused() && ring_.rearm());
  processing_ = false;
  publish();
  if (left == 0 && !dead_) sdk::kick(kick_fd_);
}

void BlkQueue::completed(Request& request) {
  if (request.write_through && request.backend.status == NACRE_OK) {
    // Without VIRTIO_BLK_F_FLUSH every write is durable when it completes (virtio 1.2 §5.2.6.2).
    request.write_through = false;
    request.backend.op = NACRE_BLOCK_FLUSH;
    nacre_block_request* flush = &request.backend;
    block_.submit({&flush, 1});
    return;
  }
  bool ok = request.backend.status == NACRE_OK;
  *request.status = ok ? kOk : request.backend.status == NACRE_UNSUPPORTED ? kUnsupp : kIoErr;
  if (!ok) request.written = 1;
  bool was_full = !free_or_unused();
  give_back(request);
  if (was_full && !processing_) process();
}

void BlkQueue::publish() {
  if (!processing_) ring_.publish();
}

}  // namespace nacre::virtio_blk
