#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nacre/fake/back_ends.hpp>
#include <nacre/fake/instance.hpp>

namespace nacre::fake {
namespace {

// Copies as much as fits between a list of buffers and one piece of memory; returns the number of bytes.
uint64_t scatter(const iovec* iov, uint32_t n, const uint8_t* from, uint64_t length) {
  uint64_t done = 0;
  for (uint32_t i = 0; i < n && done < length; ++i) {
    const uint64_t part = std::min<uint64_t>(iov[i].iov_len, length - done);
    std::memcpy(iov[i].iov_base, from + done, part);
    done += part;
  }
  return done;
}

std::vector<uint8_t> gather(const iovec* iov, uint32_t n) {
  std::vector<uint8_t> bytes;
  for (uint32_t i = 0; i < n; ++i) {
    const auto* from = static_cast<const uint8_t*>(iov[i].iov_base);
    bytes.insert(bytes.end(), from, from + iov[i].iov_len);
  }
  return bytes;
}

nacre_status open_block(nacre_instance* instance, const char*, nacre_block_completed completed, void* opaque,
                        nacre_block** block, nacre_error*) noexcept {
  *block = &instance->back_ends->blocks.emplace_back(
      nacre_block{.instance = instance, .completed = completed, .opaque = opaque});
  return NACRE_OK;
}

void close_block(nacre_block* block) noexcept {
  block->instance->back_ends->blocks.remove_if([&](auto& one) { return &one == block; });
}

void block_info(nacre_block*, nacre_block_info* info) noexcept {
  info->request_size = sizeof(nacre_block_request);
  info->capacity = nacre_block::kCapacity;
  info->alignment = 1;
  info->readonly = 0;
  info->discard = info->write_zeroes = 1;
}

nacre_status serve(nacre_block& block, const nacre_block_request& request) {
  if (block.failing) return NACRE_IO;
  if (request.op == NACRE_BLOCK_FLUSH) return NACRE_OK;
  if (request.offset > block.content.size() || request.length > block.content.size() - request.offset)
    return NACRE_INVALID;
  uint8_t* at = block.content.data() + request.offset;
  switch (request.op) {
    case NACRE_BLOCK_READ:
      return scatter(request.iov, request.n_iov, at, request.length) == request.length ? NACRE_OK : NACRE_INVALID;
    case NACRE_BLOCK_WRITE: {
      const std::vector<uint8_t> bytes = gather(request.iov, request.n_iov);
      if (bytes.size() != request.length) return NACRE_INVALID;
      std::copy(bytes.begin(), bytes.end(), at);
      return NACRE_OK;
    }
    case NACRE_BLOCK_DISCARD:
    case NACRE_BLOCK_WRITE_ZEROES:
      std::memset(at, 0, request.length);
      return NACRE_OK;
    default:
      return NACRE_UNSUPPORTED;
  }
}

void tell(nacre_block* block) {
  std::vector<nacre_block_request*> done;
  done.swap(block->done);
  if (!done.empty()) block->completed(block->opaque, done.data(), static_cast<uint32_t>(done.size()));
}

// Completed later, as a real disk does: a device must not count on it before submit() has returned.
void submit(nacre_block* block, nacre_block_request* const* requests, uint32_t n) noexcept {
  if (block->done.empty()) {
    block->instance->loop.post([block, instance = block->instance] {
      // It may have been closed meanwhile, when drain() has told all.
      for (nacre_block& one : instance->back_ends->blocks)
        if (&one == block) return tell(block);
    });
  }
  for (uint32_t i = 0; i < n; ++i) {
    requests[i]->status = serve(*block, *requests[i]);
    block->done.push_back(requests[i]);
  }
}

void drain(nacre_block* block) noexcept {
  while (!block->done.empty()) tell(block);
}

nacre_status open_chardev(nacre_instance* instance, const char*, const nacre_chardev_events* events, void* opaque,
                          nacre_chardev** chardev, nacre_error*) noexcept {
  nacre_chardev& made = instance->back_ends->chardevs.emplace_back(nacre_chardev{instance, *events, opaque, {}, {}});
  *chardev = &made;
  if (events->opened) {
    instance->loop.post([instance, at = &made] {
      for (nacre_chardev& one : instance->back_ends->chardevs)
        if (&one == at) return one.events.opened(one.opaque);
    });
  }
  return NACRE_OK;
}

void close_chardev(nacre_chardev* chardev) noexcept {
  chardev->instance->back_ends->chardevs.remove_if([&](auto& one) { return &one == chardev; });
}

uint32_t read_chardev(nacre_chardev* chardev, void* data, uint32_t length) noexcept {
  const size_t n = std::min<size_t>(length, chardev->input.size());
  std::memcpy(data, chardev->input.data(), n);
  chardev->input.erase(0, n);
  return static_cast<uint32_t>(n);
}

uint32_t write_chardev(nacre_chardev* chardev, const void* data, uint32_t length) noexcept {
  chardev->output.append(static_cast<const char*>(data), length);
  return length;
}

// Who connects to another process wants to speak vhost-user to it.
nacre_status connect_chardev(nacre_instance* instance, const char*, nacre_chardev** chardev, int32_t* fd,
                             nacre_error* error) noexcept {
  nacre_chardev& made = instance->back_ends->chardevs.emplace_back(nacre_chardev{instance, {}, nullptr, {}, {}});
  made.peer = std::make_unique<nacre::fake::VhostUserPeer>();
  *fd = made.peer->take_socket();
  if (*fd < 0) {
    instance->back_ends->chardevs.pop_back();
    if (error) std::strcpy(error->text, "nobody listens there: no socket is left.");
    return NACRE_IO;
  }
  *chardev = &made;
  return NACRE_OK;
}

nacre_status open_net(nacre_instance* instance, const char*, nacre_net** net, nacre_error*) noexcept {
  *net = &instance->back_ends->nets.emplace_back(nacre_net{instance, {}, ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)});
  return NACRE_OK;
}

void close_net(nacre_net* net) noexcept {
  ::close(net->fd);
  net->instance->back_ends->nets.remove_if([&](auto& one) { return &one == net; });
}

void net_info(nacre_net*, nacre_net_info* info) noexcept {
  info->n_queues = 1;
  info->max_frame = 65535 + 18;
  info->takes = info->gives = NACRE_NET_CSUM;
  info->vhost = 0;
}

int32_t net_fd(nacre_net* net, uint32_t) noexcept {
  return net->fd;
}

int64_t receive(nacre_net* net, uint32_t, const iovec* iov, uint32_t n) noexcept {
  eventfd_t ignored;
  if (net->frames.empty()) return ::eventfd_read(net->fd, &ignored), 0;
  const std::vector<uint8_t> frame = std::move(net->frames.front());
  net->frames.pop_front();
  return static_cast<int64_t>(scatter(iov, n, frame.data(), frame.size()));
}

int32_t send(nacre_net* net, uint32_t, const iovec* iov, uint32_t n) noexcept {
  constexpr size_t kKept = 64;
  if (net->frames.size() == kKept) net->frames.pop_front();
  net->frames.push_back(gather(iov, n));
  ::eventfd_write(net->fd, 1);
  return 1;
}

nacre_status set_offloads(nacre_net*, uint32_t) noexcept {
  return NACRE_OK;
}
nacre_status set_queues(nacre_net*, uint32_t n) noexcept {
  return n == 1 ? NACRE_OK : NACRE_INVALID;
}
int32_t vhost_fd(nacre_net*, uint32_t) noexcept {
  return -1;
}

void on_announce(nacre_net* net, nacre_callback announce, void* opaque) noexcept {
  net->announce = announce;
  net->announce_opaque = opaque;
}

nacre_status open_random(nacre_instance* instance, const char*, int32_t* fd, nacre_error*) noexcept {
  int& random = instance->back_ends->random;
  if (random < 0) random = ::open("/dev/urandom", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  *fd = random;
  return random < 0 ? NACRE_NOT_FOUND : NACRE_OK;
}

}  // namespace

const nacre_block_v1 kBlock{sizeof(nacre_block_v1), 0, open_block, close_block, block_info, submit, drain};
const nacre_chardev_v1 kChardev{sizeof(nacre_chardev_v1), 0, open_chardev, close_chardev, read_chardev, write_chardev,
                                connect_chardev};
const nacre_net_v1 kNet{sizeof(nacre_net_v1), 0,          open_net, close_net,  net_info, net_fd, receive, send,
                        set_offloads,         set_queues, vhost_fd, on_announce};
const nacre_rng_v1 kRng{sizeof(nacre_rng_v1), 0, open_random};

}  // namespace nacre::fake
