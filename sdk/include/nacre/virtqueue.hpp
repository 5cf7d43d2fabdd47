// The device's side of a split virtqueue (virtio 1.2 §2.7).
//
// The driver is not trusted. Every field in guest memory is read once, atomically, and checked as read; a chain has at
// most as many descriptors as the queue has entries; a violation breaks the queue, which then gives nothing more.
#pragma once

#include <nacre/abi/virtio.h>
#include <unistd.h>

#include <atomic>
#include <nacre/descriptor_chain.hpp>
#include <nacre/memory.hpp>

namespace nacre::sdk {

inline constexpr unsigned kVirtioRingIndirectDesc = 28;  // virtio 1.2 §6
inline constexpr unsigned kVirtioRingEventIdx = 29;

// [any] Has the queue's loop look at it again, as the driver's kick does, when others there have had their turn.
inline void kick(int kick_fd) {
  const uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(kick_fd, &one, sizeof one);
}

// Used by one thread at a time.
class Virtqueue {
 public:
  enum class Pop { Empty, Chain, Broken };

  Virtqueue() = default;

  // Begins with a queue that the host has handed over in activate(). `memory` must stay valid until the last use.
  // False when a part of the ring is not memory.
  bool start(const nacre_virtqueue& queue, const MemoryView& memory, uint64_t features) {
    memory_ = memory;
    num_ = queue.num;
    indirect_ = features >> kVirtioRingIndirectDesc & 1;
    event_idx_ = features >> kVirtioRingEventIdx & 1;
    interrupt_ = queue.interrupt;
    interrupt_opaque_ = queue.interrupt_opaque;
    next_avail_ = next_used_ = signalled_used_ = queue.first;
    has_signalled_ = false;
    broken_ = nullptr;
    desc_ = memory.translate(queue.desc, 16ull * num_);
    avail_ = reinterpret_cast<uint16_t*>(memory.translate(queue.avail, 6 + 2ull * num_));
    used_ = memory.translate(queue.used, 6 + 8ull * num_);
    return desc_ && avail_ && used_;
  }

  uint16_t num() const { return num_; }
  // The words for a broken queue.
  const char* broken() const { return broken_; }

  // Takes the next chain that the driver has made available. Its buffers are put into `storage`, which has room for
  // `capacity` entries (num() suffices for every chain).
  Pop pop(DescriptorChain& chain, iovec* storage, uint32_t capacity) {
    if (broken_) return Pop::Broken;
    uint16_t pending = static_cast<uint16_t>(load_acquire(&avail_[1]) - next_avail_);
    if (pending == 0) return Pop::Empty;
    if (pending > num_) return breaks("the driver's available index runs ahead of the ring");
    uint16_t head = load(&avail_[2 + (next_avail_ & (num_ - 1))]);
    if (head >= num_) return breaks("the available ring names a descriptor that does not exist");
    if (!walk(head, chain, storage, capacity)) return Pop::Broken;
    chain.head = head;
    ++next_avail_;
    return Pop::Chain;
  }

  // Puts the chain back that the last pop() gave, untouched: the next pop() gives it again. Not after push().
  void unpop() { --next_avail_; }

  // Gives a chain back with the number of bytes written into it. The driver sees it after publish().
  void push(uint16_t head, uint32_t written) {
    auto* entry = reinterpret_cast<uint32_t*>(used_ + 4 + 8u * (next_used_ & (num_ - 1u)));
    __atomic_store_n(&entry[0], uint32_t{head}, __ATOMIC_RELAXED);
    __atomic_store_n(&entry[1], written, __ATOMIC_RELAXED);
    ++next_used_;
  }

  // Shows the driver all that was pushed, and interrupts it if it wants that: one system call for any number of
  // chains (§2.7.7, §2.7.10).
  void publish() {
    if (next_used_ == signalled_used_) return;
    __atomic_store_n(used_index(), next_used_, __ATOMIC_RELEASE);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    bool wanted;
    if (event_idx_) {
      // Drivers may count on the first one, as from other devices: they have not had to say where they stand.
      uint16_t used_event = load(&avail_[2 + num_]);
      wanted = !has_signalled_ ||
               static_cast<uint16_t>(next_used_ - used_event - 1) < static_cast<uint16_t>(next_used_ - signalled_used_);
      has_signalled_ = true;
    } else {
      wanted = !(load(&avail_[0]) & 1);
    }
    signalled_used_ = next_used_;
    if (wanted) interrupt_(interrupt_opaque_);
  }

  // Asks the driver for a notification of its next chain; true when one came in the meantime, so that the caller must
  // go on popping.
  bool rearm() {
    if (broken_) return false;
    if (event_idx_) {
      __atomic_store_n(reinterpret_cast<uint16_t*>(used_ + 4 + 8u * num_), next_avail_, __ATOMIC_RELAXED);
      std::atomic_thread_fence(std::memory_order_seq_cst);
    }
    return load_acquire(&avail_[1]) != next_avail_;
  }

  // Ring positions, for saved state.
  uint16_t next_avail() const { return next_avail_; }
  uint16_t next_used() const { return next_used_; }
  void restore(uint16_t next_avail, uint16_t next_used) {
    next_avail_ = next_avail;
    next_used_ = signalled_used_ = next_used;
    has_signalled_ = false;
  }

 private:
  struct Descriptor {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
  };
  enum : uint16_t { kNext = 1, kWrite = 2, kIndirect = 4 };

  template <typename T>
  static T load(const T* from) {
    return __atomic_load_n(from, __ATOMIC_RELAXED);
  }
  template <typename T>
  static T load_acquire(const T* from) {
    return __atomic_load_n(from, __ATOMIC_ACQUIRE);
  }

  // Copies a descriptor out of guest memory, whatever its alignment, before anything of it is looked at.
  static Descriptor fetch(const uint8_t* table, uint32_t i) {
    Descriptor copy;
    const uint8_t* from = table + 16ull * i;
    if (reinterpret_cast<uintptr_t>(from) % 8 == 0) {
      uint64_t words[2] = {load(reinterpret_cast<const uint64_t*>(from)),
                           load(reinterpret_cast<const uint64_t*>(from + 8))};
      std::memcpy(&copy, words, sizeof copy);
    } else {
      for (size_t byte = 0; byte < sizeof copy; ++byte) reinterpret_cast<uint8_t*>(&copy)[byte] = load(from + byte);
    }
    return copy;
  }

  bool walk(uint16_t head, DescriptorChain& chain, iovec* storage, uint32_t capacity) {
    const uint8_t* table = desc_;
    uint32_t entries = num_, i = head, used = 0, n_readable = 0;
    uint64_t readable = 0, writable = 0;
    bool indirect = false;
    for (uint32_t steps = 0;; ++steps) {
      if (steps >= num_) return fails("a descriptor chain is longer than the queue");
      Descriptor descriptor = fetch(table, i);
      if (descriptor.flags & kIndirect) {
        if (!indirect_) return fails("an indirect descriptor was not negotiated");
        if (indirect) return fails("an indirect descriptor inside an indirect table");
        if (descriptor.flags & kNext) return fails("an indirect descriptor with a next one");
        if (descriptor.len == 0 || descriptor.len % 16 || descriptor.len / 16 > num_)
          return fails("an indirect table of a wrong length");
        table = memory_.translate(descriptor.addr, descriptor.len);
        if (!table) return fails("an indirect table outside memory");
        indirect = true;
        entries = descriptor.len / 16;
        i = 0;
        --steps;  // the indirect descriptor itself is no buffer
        continue;
      }
      if (used == capacity) return fails("a descriptor chain is longer than the queue");
      uint8_t* hva = memory_.translate(descriptor.addr, descriptor.len);
      if (!hva) return fails(descriptor.len ? "a buffer outside memory" : "a buffer of length 0");
      if (descriptor.flags & kWrite) {
        writable += descriptor.len;
      } else {
        if (writable) return fails("a readable buffer after a writable one");
        readable += descriptor.len;
        ++n_readable;
      }
      storage[used++] = {hva, descriptor.len};
      if (!(descriptor.flags & kNext)) break;
      i = descriptor.next;
      if (i >= entries) return fails("a descriptor's next one does not exist");
    }
    if (readable + writable > UINT32_MAX) return fails("a descriptor chain of more than 4 GiB");
    chain.readable = IoVector(storage, n_readable, readable);
    chain.writable = IoVector(storage + n_readable, used - n_readable, writable);
    return true;
  }

  uint16_t* used_index() const { return reinterpret_cast<uint16_t*>(used_ + 2); }

  bool fails(const char* why) {
    broken_ = why;
    return false;
  }
  Pop breaks(const char* why) {
    broken_ = why;
    return Pop::Broken;
  }

  MemoryView memory_;
  const uint8_t* desc_ = nullptr;
  const uint16_t* avail_ = nullptr;
  uint8_t* used_ = nullptr;
  uint16_t num_ = 0;
  uint16_t next_avail_ = 0;
  uint16_t next_used_ = 0;
  uint16_t signalled_used_ = 0;
  bool has_signalled_ = false;  // since it began
  bool indirect_ = false;
  bool event_idx_ = false;
  void (*interrupt_)(void*) noexcept = nullptr;
  void* interrupt_opaque_ = nullptr;
  const char* broken_ = nullptr;
};

}  // namespace nacre::sdk
