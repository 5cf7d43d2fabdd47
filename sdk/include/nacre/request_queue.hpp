// A virtqueue whose requests are answered at once, on the device's loop: all of a device's ring handling but the
// answer.
#pragma once

#include <array>
#include <exception>
#include <functional>
#include <memory>
#include <nacre/loop.hpp>
#include <nacre/virtqueue.hpp>
#include <utility>

namespace nacre::sdk {

// Used on the loop of one instance. A member of the device: start() in activate(), stop() in deactivate().
class RequestQueue {
 public:
  // Answers one request in its buffers; returns how many bytes it has written into the writable ones.
  using Answer = std::function<uint32_t(DescriptorChain&)>;
  // The queue cannot go on, because of what the driver has put into it or because answer() has thrown: the words are
  // for needs_reset(). Only a reset of the device helps.
  using Broken = std::function<void(const char* why)>;

  RequestQueue(Answer answer, Broken broken) : answer_(std::move(answer)), broken_(std::move(broken)) {}
  RequestQueue(const RequestQueue&) = delete;
  RequestQueue& operator=(const RequestQueue&) = delete;
  ~RequestQueue() { stop(); }

  // [loop] Begins to answer. `features` are those that were agreed on. A queue that the driver does not use stays
  // silent.
  Status start(nacre_instance* instance, const nacre_virtqueue& queue, uint64_t features, nacre_error* slot) {
    stop();
    if (!queue.ready) return {};
    instance_ = instance;
    memory_ = host.memory->acquire(instance);
    nacre_loop* loop = host.loop->of(instance);
    buffers_.reset(new iovec[queue.num]);
    Status started = fail("a queue of the driver is not in memory");
    if (ring_.start(queue, MemoryView(memory_), features)) started = later_.start(loop, on_work, this, slot);
    if (started) started = kick_.start(loop, queue.kick_fd, NACRE_LOOP_READ | NACRE_LOOP_EDGE, on_work, this, slot);
    if (!started) stop();
    return started;
  }

  // [loop, main] Guest memory is not touched any more once it has returned.
  void stop() {
    kick_.stop();
    later_.stop();
    if (memory_) host.memory->release(instance_, std::exchange(memory_, nullptr));
  }

 private:
  static void on_work(void* self) noexcept { static_cast<RequestQueue*>(self)->work(); }

  // Answers at most a ring full of requests: the loop has other devices to serve, and the timer brings it back.
  void work() {
    if (!memory_) return;
    uint32_t left = ring_.num();
    DescriptorChain chain;
    while (left > 0) {
      const Virtqueue::Pop popped = ring_.pop(chain, buffers_.get(), ring_.num());
      if (popped == Virtqueue::Pop::Broken) return give_up(ring_.broken());
      if (popped == Virtqueue::Pop::Empty) {
        if (!ring_.rearm()) break;
        continue;
      }
      try {
        ring_.push(chain.head, answer_(chain));
      } catch (const std::exception& thrown) {
        return give_up(thrown.what());
      } catch (...) {
        return give_up("an answer has thrown something that is not an exception");
      }
      --left;
    }
    ring_.publish();
    if (left == 0) later_.arm(1);
  }

  void give_up(const char* why) {
    kick_.stop();
    broken_(why);
  }

  Answer answer_;
  Broken broken_;
  nacre_instance* instance_ = nullptr;
  const nacre_memory_view* memory_ = nullptr;
  Virtqueue ring_;
  std::unique_ptr<iovec[]> buffers_;
  Watch kick_;
  Timer later_;
};

}  // namespace nacre::sdk
