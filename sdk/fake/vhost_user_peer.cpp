#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <nacre/fake/vhost_user_peer.hpp>
#include <nacre/vhost_user.hpp>
#include <string>
#include <utility>

namespace nacre::fake {
namespace {

using namespace sdk::vhost_user;

constexpr uint64_t bit(unsigned n) {
  return uint64_t{1} << n;
}
// Indirect descriptors, event index, version 1 (virtio 1.2 §6).
constexpr uint64_t kFeatures = bit(28) | bit(29) | bit(32) | bit(kFeatureProtocol);
constexpr uint64_t kProtocolFeatures = bit(kProtocolMultiqueue) | bit(kProtocolReplyAck);
constexpr uint64_t kQueues = 256;

// Reads a message with its descriptors, which are closed: nothing is done with them. False at the end.
bool read_all(int socket, void* to, size_t size) {
  auto* at = static_cast<uint8_t*>(to);
  while (size > 0) {
    iovec piece{at, size};
    alignas(cmsghdr) char control[CMSG_SPACE(kMaxRegions * sizeof(int))];
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (got <= 0) return false;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
      for (size_t i = 0; i < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
        int fd;
        std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
        ::close(fd);
      }
    }
    at += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

bool answer(int socket, uint32_t request, const void* payload, uint32_t size) {
  const Header header{request, kVersion | kReply, size};
  uint8_t bytes[sizeof header + sizeof(uint64_t)];
  std::memcpy(bytes, &header, sizeof header);
  std::memcpy(bytes + sizeof header, payload, size);
  return ::send(socket, bytes, sizeof header + size, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof header + size);
}

}  // namespace

VhostUserPeer::VhostUserPeer() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return;
  ours_ = ends[0], theirs_ = ends[1];
  thread_ = std::thread([this] { serve(); });
}

VhostUserPeer::~VhostUserPeer() {
  if (theirs_ >= 0) ::close(theirs_);
  if (!thread_.joinable()) return;
  ::shutdown(ours_, SHUT_RDWR);
  thread_.join();
  // A joined thread is to be seen in /proc for a moment more.
  const std::string task = "/proc/self/task/" + std::to_string(thread_id_);
  while (::access(task.c_str(), F_OK) == 0) std::this_thread::yield();
  ::close(ours_);
}

int VhostUserPeer::take_socket() {
  return std::exchange(theirs_, -1);
}

void VhostUserPeer::serve() {
  thread_id_ = ::gettid();
  while (serve_request()) continue;
  ::shutdown(ours_, SHUT_RDWR);
}

bool VhostUserPeer::serve_request() {
  Header header;
  uint8_t payload[sizeof(MemoryTable)] = {};
  if (!read_all(ours_, &header, sizeof header) || header.size > sizeof payload ||
      (header.flags & kVersionMask) != kVersion || !read_all(ours_, payload, header.size))
    return false;
  const auto number = [&](uint64_t value) { return answer(ours_, header.request, &value, sizeof value); };
  VringState ring;
  std::memcpy(&ring, payload, sizeof ring);
  const bool known = ring.index < kQueues;
  switch (header.request) {
    case kGetFeatures:
      return number(kFeatures);
    case kGetProtocolFeatures:
      return number(kProtocolFeatures);
    case kGetQueueNum:
      return number(kQueues);
    case kGetVringBase:
      if (!known) return false;
      --rings_;
      ring.num = bases_[ring.index];
      return answer(ours_, header.request, &ring, sizeof ring);
    case kSetVringBase:
      if (!known) return false;
      bases_[ring.index] = static_cast<uint16_t>(ring.num);
      break;
    case kSetVringEnable:
      if (!known) return false;
      ++rings_;
      break;
    case kSetFeatures:
    case kSetProtocolFeatures:
    case kSetOwner:
    case kSetMemTable:
    case kSetVringNum:
    case kSetVringAddr:
    case kSetVringKick:
    case kSetVringCall:
      break;
    default:
      return false;
  }
  return !(header.flags & kNeedReply) || number(0);
}

}  // namespace nacre::fake
