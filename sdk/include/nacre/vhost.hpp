// A kernel back end (vhost) that walks a device's rings in place of the device: vhost-net, vhost-vsock.
#pragma once

// The legacy part of the kernel's ring header is C that C++ does not take.
#define VIRTIO_RING_NO_LEGACY
#include <linux/vhost.h>
#undef VIRTIO_RING_NO_LEGACY
#include <nacre/abi/virtio.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <nacre/memory.hpp>
#include <nacre/result.hpp>

namespace nacre::sdk {

// One open vhost descriptor (/dev/vhost-net, /dev/vhost-vsock), borrowed: who opened it closes it, after this is gone.
// Used by one thread at a time. The order of calls: own() once; then for each activation prepare(), start_ring() for
// each ring, the type's own call that lets it run (VHOST_NET_SET_BACKEND, VHOST_VSOCK_SET_RUNNING); at its end the
// type's own call that halts it, and stop_ring() for each ring. Rings of a descriptor count from 0: queue n of a device
// need not be ring n of its descriptor.
//
// The kernel needs of a queue no more than its ring, its kick_fd and its call_fd; the interrupt goes from call_fd to
// the guest without this process.
class Vhost {
 public:
  Vhost() = default;
  explicit Vhost(int fd) : fd_(fd) {}

  int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

  // Makes this process the owner: the kernel reads and writes its memory from now on, until the descriptor is closed.
  // Again is no error. NACRE_BUSY where another process is the owner (a descriptor that was handed in after use).
  Status own() const {
    Status owned = call(VHOST_SET_OWNER, nullptr, "make this process the owner of the descriptor");
    // "Busy" is also the answer to the owner; this request only the owner may make, and it changes nothing.
    if (!owned && owned.error().code == NACRE_BUSY && set_fd(VHOST_SET_VRING_ERR, 0, -1)) return {};
    return owned;
  }

  // What the kernel can do, as virtio feature bits (virtio 1.2 §6 and those of the device type).
  Result<uint64_t> features() const {
    uint64_t bits = 0;
    if (Status asked = call(VHOST_GET_FEATURES, &bits, "tell its features"); !asked) return asked.error();
    return bits;
  }

  // Tells the kernel what the driver has accepted, of features() only, and where guest memory is. The rings are halted.
  Status prepare(uint64_t features, const MemoryView& memory) const {
    if (Status told = set_memory(memory); !told) return told;
    return call(VHOST_SET_FEATURES, &features, "take the features that the driver has accepted");
  }

  // Where guest memory is, again after it has changed; the rings may run. Regions that cannot be mapped are left out:
  // a ring or buffer there is an error of the ring.
  Status set_memory(const MemoryView& memory) const {
    const size_t bytes = sizeof(vhost_memory) + memory.size() * sizeof(vhost_memory_region);
    std::unique_ptr<uint64_t[]> room(new uint64_t[(bytes + 7) / 8]());
    auto* table = reinterpret_cast<vhost_memory*>(room.get());
    for (uint32_t i = 0; i < memory.size(); ++i) {
      const nacre_memory_region& region = memory[i];
      if (!region.hva) continue;
      table->regions[table->nregions++] = {region.gpa, region.len, reinterpret_cast<uintptr_t>(region.hva), 0};
    }
    return call(VHOST_SET_MEM_TABLE, table, "take the table of guest memory");
  }

  // Gives ring `index` to the kernel, which begins at available entry `first` (0 for a driver that has just come).
  // `error_fd` is an eventfd of the caller's that becomes readable when the driver has broken the ring; -1 for none.
  Status start_ring(uint32_t index, const nacre_virtqueue& queue, uint16_t first, const MemoryView& memory,
                    int error_fd) const {
    vhost_vring_addr where{};
    where.index = index;
    where.desc_user_addr = reinterpret_cast<uintptr_t>(memory.translate(queue.desc, 16ull * queue.num));
    where.avail_user_addr = reinterpret_cast<uintptr_t>(memory.translate(queue.avail, 6 + 2ull * queue.num));
    where.used_user_addr = reinterpret_cast<uintptr_t>(memory.translate(queue.used, 6 + 8ull * queue.num));
    if (!where.desc_user_addr || !where.avail_user_addr || !where.used_user_addr)
      return fail("a queue of the driver is not in memory");
    vhost_vring_state state{index, queue.num};
    if (Status told = call(VHOST_SET_VRING_NUM, &state, "take the size of a queue"); !told) return told;
    state.num = first;
    if (Status told = call(VHOST_SET_VRING_BASE, &state, "take the position in a queue"); !told) return told;
    if (Status told = call(VHOST_SET_VRING_ADDR, &where, "take the addresses of a queue"); !told) return told;
    if (Status told = set_fd(VHOST_SET_VRING_ERR, index, error_fd); !told) return told;
    if (Status told = set_fd(VHOST_SET_VRING_CALL, index, queue.call_fd); !told) return told;
    return set_fd(VHOST_SET_VRING_KICK, index, queue.kick_fd);
  }

  // Takes ring `index` back, which the type's own call has halted. Returns the available entry that comes next: what
  // start_ring() takes as `first`, and what saved state holds. The kernel lets go of the descriptors.
  Result<uint16_t> stop_ring(uint32_t index) const {
    vhost_vring_state state{index, 0};
    Status asked = call(VHOST_GET_VRING_BASE, &state, "tell the position in a queue");
    (void)set_fd(VHOST_SET_VRING_KICK, index, -1);
    (void)set_fd(VHOST_SET_VRING_CALL, index, -1);
    (void)set_fd(VHOST_SET_VRING_ERR, index, -1);
    if (!asked) return asked.error();
    return static_cast<uint16_t>(state.num);
  }

  // Any other request of <linux/vhost.h>. `what` completes "the kernel's back end does not ...".
  Status call(unsigned long request, void* argument, const char* what) const {
    int done;
    do {
      done = ::ioctl(fd_, request, argument);
    } while (done < 0 && errno == EINTR);
    if (done >= 0) return {};
    const int reason = errno;
    Error error = fail("the kernel's vhost back end does not ", what, ": ", std::strerror(reason));
    error.code = reason == EBUSY ? NACRE_BUSY : reason == ENOMEM ? NACRE_NO_MEMORY : NACRE_IO;
    return error;
  }

 private:
  Status set_fd(unsigned long request, uint32_t index, int fd) const {
    vhost_vring_file file{index, fd};
    return call(request, &file, "take a descriptor of a queue");
  }

  int fd_ = -1;
};

}  // namespace nacre::sdk
