// An io_uring for one disk.
#pragma once

#include <liburing.h>

#include "core/backend/block_request.hpp"
#include "core/base/result.hpp"

namespace nacre {

// Used by one thread, the one that opened it. Holds no memory beside the kernel's rings.
class BlockRing {
 public:
  static constexpr unsigned kEntries = 128;  // in flight; more wait in the caller's queue

  BlockRing() = default;
  ~BlockRing();
  BlockRing(const BlockRing&) = delete;
  BlockRing& operator=(const BlockRing&) = delete;

  // Sets it up for `fd`, completions signalled on `event_fd`. Returns 0 or an errno (ENOSYS, EPERM: not on this host).
  int open(int fd, int event_fd);
  bool is_open() const { return open_; }

  bool has_room() const { return in_flight_ < kEntries; }
  bool idle() const { return in_flight_ == 0; }
  // Prepares a read, write or flush; there is room.
  void queue(nacre_block_request& request);
  // Starts what was queued with one system call. Returns 0, EAGAIN when the kernel wants to be asked again later, or
  // another errno after which nothing more can be submitted; take_back() then returns what was not started.
  int submit();
  BlockQueue take_back(uint32_t& n);

  // Calls completed(request, result) for all that is done, as io_uring reports it: bytes, or a negative errno.
  template <typename F>
  void reap(F&& completed) {
    io_uring_cqe* cqe;
    while (open_ && io_uring_peek_cqe(&ring_, &cqe) == 0) {
      auto* request = static_cast<nacre_block_request*>(io_uring_cqe_get_data(cqe));
      int result = cqe->res;
      io_uring_cqe_seen(&ring_, cqe);
      --in_flight_;
      completed(*request, result);
    }
  }

 private:
  io_uring ring_{};
  bool open_ = false;
  bool queued_ = false;
  unsigned in_flight_ = 0;
};

}  // namespace nacre
