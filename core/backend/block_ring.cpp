#include "core/backend/block_ring.hpp"

#include <cerrno>

namespace nacre {

BlockRing::~BlockRing() {
  if (!open_) return;
  // The kernel takes a ring apart later, by itself, and would keep the file open until then, with its locks: the same
  // image, plugged in again, would be in use.
  io_uring_unregister_files(&ring_);
  io_uring_queue_exit(&ring_);
}

int BlockRing::open(int fd, int event_fd) {
  // Completions need not interrupt the thread, which looks at them when it comes back to its loop, and the kernel may
  // rely on one thread submitting. Kernels before 6.0 know less; they do the same at a higher price.
  int error = -EINVAL;
  for (unsigned flags : {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_COOP_TASKRUN, 0u}) {
    error = io_uring_queue_init(kEntries, &ring_, flags | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL);
    if (error == -EINVAL) error = io_uring_queue_init(kEntries, &ring_, flags);
    if (error != -EINVAL) break;
  }
  if (error < 0) return -error;
  error = io_uring_register_files(&ring_, &fd, 1);
  if (error == 0) error = io_uring_register_eventfd(&ring_, event_fd);
  if (error < 0) {
    io_uring_queue_exit(&ring_);
    return -error;
  }
  open_ = true;
  return 0;
}

void BlockRing::queue(nacre_block_request& request) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);  // never NULL: there are as many as may be in flight
  const uint32_t op = scratch(request).op;
  if (op == NACRE_BLOCK_FLUSH) {
    io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
  } else if (request.n_iov == 1) {
    const unsigned length = static_cast<unsigned>(request.iov[0].iov_len);
    if (op == NACRE_BLOCK_READ)
      io_uring_prep_read(sqe, 0, request.iov[0].iov_base, length, request.offset);
    else
      io_uring_prep_write(sqe, 0, request.iov[0].iov_base, length, request.offset);
  } else if (op == NACRE_BLOCK_READ) {
    io_uring_prep_readv(sqe, 0, request.iov, request.n_iov, request.offset);
  } else {
    io_uring_prep_writev(sqe, 0, request.iov, request.n_iov, request.offset);
  }
  sqe->flags |= IOSQE_FIXED_FILE;
  io_uring_sqe_set_data(sqe, &request);
  ++in_flight_;
  queued_ = true;
}

int BlockRing::submit() {
  while (queued_) {
    int started = io_uring_submit(&ring_);
    if (started == -EINTR) continue;
    if (started == -EBUSY || started == -EAGAIN) return EAGAIN;
    if (started < 0) return -started;
    // A request that the kernel refuses at once ends the batch on old kernels; the rest is still in the ring.
    queued_ = io_uring_sq_ready(&ring_) > 0;
  }
  return 0;
}

BlockQueue BlockRing::take_back(uint32_t& n) {
  BlockQueue back;
  n = 0;
  for (unsigned at = *ring_.sq.khead; at != *ring_.sq.ktail; ++at, ++n) {
    const io_uring_sqe& sqe = ring_.sq.sqes[ring_.sq.array[at & *ring_.sq.kring_mask]];
    back.push(*reinterpret_cast<nacre_block_request*>(sqe.user_data));
  }
  in_flight_ -= n;
  queued_ = false;
  return back;
}

}  // namespace nacre
