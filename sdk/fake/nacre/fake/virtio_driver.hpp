// The guest's side of a virtio device: negotiates, sets up split rings in the fake memory, and gives buffers.
// Virtio 1.2 §2.7. What it writes into the rings may also be nonsense: that is what it is for.
#pragma once

#include <nacre/fake/instance.hpp>
#include <span>

namespace nacre::fake {

// Where a test's buffers are: memory that no ring uses.
inline constexpr uint64_t kBuffers = 0x300000;
inline constexpr uint64_t kBuffersSize = 0x100000;

// Used on the thread of the device's loop.
class VirtioDriver {
 public:
  struct Descriptor {  // §2.7.5
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
  };
  enum : uint16_t { kNext = 1, kWrite = 2, kIndirect = 4 };
  static constexpr uint16_t kEntries = 64;  // of each queue, where the device allows as many

  explicit VirtioDriver(nacre_instance& instance);
  ~VirtioDriver();
  VirtioDriver(const VirtioDriver&) = delete;
  VirtioDriver& operator=(const VirtioDriver&) = delete;

  // Clears the rings and activates the device with these of its features. The status of activate(), its words in
  // `slot`.
  nacre_status activate(uint64_t features, nacre_error* slot = nullptr);
  void reset();
  bool active() const { return active_; }

  size_t queues() const { return queues_.size(); }
  uint16_t entries(size_t queue) const { return queues_[queue].num; }
  // The entries of the descriptor table, to write what one likes into.
  Descriptor* table(size_t queue) const;
  // Makes the chain that begins at `head` available, and kicks.
  void offer(size_t queue, uint16_t head);
  // Sets the available index, whatever is there, and kicks.
  void set_available(size_t queue, uint16_t index);
  void kick(size_t queue);
  // How many chains the device has given back in all.
  uint16_t used(size_t queue) const;
  // The head and the length of the n-th of them, counted from 0.
  std::pair<uint32_t, uint32_t> used_entry(size_t queue, uint16_t n) const;
  uint64_t interrupts() const { return interrupts_; }

 private:
  struct Queue {
    uint16_t num;
    uint64_t desc, avail, used;
    uint16_t offered;
    int kick, call;
  };
  static void on_interrupt(void* opaque) noexcept;

  nacre_instance& instance_;
  std::vector<Queue> queues_;
  std::atomic<uint64_t> interrupts_{0};
  bool active_ = false;
};

}  // namespace nacre::fake
