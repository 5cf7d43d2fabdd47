// The front end of the vhost-user protocol: another process walks a device's rings in place of the device.
#pragma once

#include <nacre/abi/virtio.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <nacre/memory.hpp>
#include <nacre/result.hpp>
#include <span>
#include <utility>

namespace nacre::sdk {

namespace vhost_user {

enum Request : uint32_t {
  kGetFeatures = 1,
  kSetFeatures = 2,
  kSetOwner = 3,
  kSetMemTable = 5,
  kSetVringNum = 8,
  kSetVringAddr = 9,
  kSetVringBase = 10,
  kGetVringBase = 11,
  kSetVringKick = 12,
  kSetVringCall = 13,
  kGetProtocolFeatures = 15,
  kSetProtocolFeatures = 16,
  kGetQueueNum = 17,
  kSetVringEnable = 18,
};

// Of the header's flags.
inline constexpr uint32_t kVersion = 1;
inline constexpr uint32_t kVersionMask = 3;
inline constexpr uint32_t kReply = 1u << 2;
inline constexpr uint32_t kNeedReply = 1u << 3;

// The bit among the virtio features that says that there are protocol features.
inline constexpr unsigned kFeatureProtocol = 30;
// Bits among the protocol features.
inline constexpr unsigned kProtocolMultiqueue = 0;
inline constexpr unsigned kProtocolReplyAck = 3;

inline constexpr size_t kMaxRegions = 8;

struct Header {
  uint32_t request;
  uint32_t flags;
  uint32_t size;  // of the payload
};
static_assert(sizeof(Header) == 12);

struct VringState {
  uint32_t index;
  uint32_t num;
};

struct VringAddress {
  uint32_t index;
  uint32_t flags;
  uint64_t desc, used, avail, log;  // addresses in this process, as the memory table names them
};
static_assert(sizeof(VringAddress) == 40);

struct Region {
  uint64_t gpa, length, user_address, offset_in_fd;
};

struct MemoryTable {
  uint32_t count;
  uint32_t padding;
  Region regions[kMaxRegions];
};

}  // namespace vhost_user

// One connection to a back end, and its rings. Used by one thread at a time. The order of calls: begin() once; then for
// each activation prepare() and start_ring() for each ring, and at its end stop_ring() for each.
//
// Nothing waits longer than kPatience. A back end that does not answer, answers wrongly or has gone makes every later
// call fail at once: what it does with the guest's memory is then no longer known. Guest memory must be shareable.
class VhostUser {
 public:
  static constexpr std::chrono::milliseconds kPatience{5000};

  VhostUser() = default;
  // Takes the connected stream socket over.
  explicit VhostUser(int fd) : fd_(fd) {}
  VhostUser(VhostUser&& other) noexcept { swap(other); }
  VhostUser& operator=(VhostUser&& other) noexcept {
    swap(other);
    return *this;
  }
  ~VhostUser() { close(); }

  explicit operator bool() const { return fd_ >= 0; }
  // Becomes readable when the back end has gone: it never speaks by itself.
  int fd() const { return fd_; }
  // False after a failure: only another connection helps.
  bool alive() const { return fd_ >= 0 && !lost_; }
  // Says that nobody is there any more.
  void lose() { lost_ = true; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  // Says who is there and asks what the other can do.
  Status begin() {
    Result<uint64_t> features = ask_number(vhost_user::kGetFeatures);
    if (!features) return features.error();
    features_ = *features;
    if (has(features_, vhost_user::kFeatureProtocol)) {
      Result<uint64_t> protocol = ask_number(vhost_user::kGetProtocolFeatures);
      if (!protocol) return protocol.error();
      const uint64_t known = 1u << vhost_user::kProtocolMultiqueue | 1u << vhost_user::kProtocolReplyAck;
      uint64_t chosen = *protocol & known;
      if (Status told = tell(vhost_user::kSetProtocolFeatures, &chosen, sizeof chosen); !told) return told;
      protocol_ = chosen;
    }
    if (Status told = tell(vhost_user::kSetOwner, nullptr, 0); !told) return told;
    if (!has(protocol_, vhost_user::kProtocolMultiqueue)) return {};
    Result<uint64_t> queues = ask_number(vhost_user::kGetQueueNum);
    if (!queues) return queues.error();
    max_queues_ = *queues;
    return {};
  }
  // What the back end can do, as virtio feature bits; the protocol's own bit is left out.
  uint64_t features() const { return features_ & ~(uint64_t{1} << vhost_user::kFeatureProtocol); }
  // How many queues it serves; 0 when it does not say.
  uint64_t max_queues() const { return max_queues_; }

  // Tells what the driver has accepted, of features() only, and where guest memory is.
  Status prepare(uint64_t features, const MemoryView& memory) {
    features |= features_ & uint64_t{1} << vhost_user::kFeatureProtocol;
    if (Status told = tell(vhost_user::kSetFeatures, &features, sizeof features); !told) return told;
    return set_memory(memory);
  }

  // Where guest memory is, again after it has changed. Returns once the back end has it.
  Status set_memory(const MemoryView& memory) {
    vhost_user::MemoryTable table{};
    int fds[vhost_user::kMaxRegions];
    for (uint32_t i = 0; i < memory.size(); ++i) {
      const nacre_memory_region& region = memory[i];
      if (!region.hva) continue;
      if (region.fd < 0) return fail("the memory of the guest is not shared; add -machine mem-share=on");
      if (table.count == vhost_user::kMaxRegions) return fail("guest memory has more parts than a back end takes");
      fds[table.count] = region.fd;
      table.regions[table.count++] = {region.gpa, region.len, reinterpret_cast<uintptr_t>(region.hva),
                                      region.fd_offset};
    }
    const size_t bytes = offsetof(vhost_user::MemoryTable, regions) + table.count * sizeof(vhost_user::Region);
    return tell(vhost_user::kSetMemTable, &table, bytes, {fds, table.count});
  }

  // Gives ring `index` to the back end, which begins at available entry queue.first.
  Status start_ring(uint32_t index, const nacre_virtqueue& queue, const MemoryView& memory) {
    using namespace vhost_user;
    VringAddress where{};
    where.index = index;
    where.desc = reinterpret_cast<uintptr_t>(memory.translate(queue.desc, 16ull * queue.num));
    where.avail = reinterpret_cast<uintptr_t>(memory.translate(queue.avail, 6 + 2ull * queue.num));
    where.used = reinterpret_cast<uintptr_t>(memory.translate(queue.used, 6 + 8ull * queue.num));
    if (!where.desc || !where.avail || !where.used) return fail("a queue of the driver is not in memory");
    VringState size{index, queue.num}, base{index, queue.first}, enable{index, 1};
    uint64_t which = index;
    if (Status told = tell(kSetVringNum, &size, sizeof size); !told) return told;
    if (Status told = tell(kSetVringBase, &base, sizeof base); !told) return told;
    if (Status told = tell(kSetVringAddr, &where, sizeof where); !told) return told;
    if (Status told = tell(kSetVringCall, &which, sizeof which, {&queue.call_fd, 1}); !told) return told;
    if (Status told = tell(kSetVringKick, &which, sizeof which, {&queue.kick_fd, 1}); !told) return told;
    if (!has(features_, kFeatureProtocol)) return {};  // the kick has started it
    return tell(kSetVringEnable, &enable, sizeof enable);
  }

  // Takes ring `index` back: the back end touches it no more. Returns the available entry that comes next.
  Result<uint16_t> stop_ring(uint32_t index) {
    vhost_user::VringState state{index, 0};
    if (Status sent = send(vhost_user::kGetVringBase, 0, &state, sizeof state, {}); !sent) return sent.error();
    if (Status got = receive(vhost_user::kGetVringBase, &state, sizeof state); !got) return got.error();
    return static_cast<uint16_t>(state.num);
  }

 private:
  using Clock = std::chrono::steady_clock;

  static bool has(uint64_t bits, unsigned n) { return bits >> n & 1; }

  void swap(VhostUser& other) {
    std::swap(fd_, other.fd_);
    std::swap(lost_, other.lost_);
    std::swap(features_, other.features_);
    std::swap(protocol_, other.protocol_);
    std::swap(max_queues_, other.max_queues_);
  }

  // A request that is answered with a number.
  Result<uint64_t> ask_number(vhost_user::Request request) {
    uint64_t number = 0;
    if (Status sent = send(request, 0, nullptr, 0, {}); !sent) return sent.error();
    if (Status got = receive(request, &number, sizeof number); !got) return got.error();
    return number;
  }

  // A request that is not answered, but by a zero where the back end can say that it has carried it out.
  Status tell(vhost_user::Request request, const void* payload, size_t size, std::span<const int> fds = {}) {
    const bool acknowledged = has(protocol_, vhost_user::kProtocolReplyAck);
    if (Status sent = send(request, acknowledged ? vhost_user::kNeedReply : 0, payload, size, fds); !sent) return sent;
    if (!acknowledged) return {};
    uint64_t outcome = 0;
    if (Status got = receive(request, &outcome, sizeof outcome); !got) return got;
    if (outcome != 0) return loses("it refuses request ", std::to_string(request));
    return {};
  }

  Status send(vhost_user::Request request, uint32_t flags, const void* payload, size_t size, std::span<const int> fds) {
    if (!alive()) return fail("the vhost-user back end has gone");
    vhost_user::Header header{request, vhost_user::kVersion | flags, static_cast<uint32_t>(size)};
    uint8_t bytes[sizeof header + sizeof(vhost_user::MemoryTable)];
    std::memcpy(bytes, &header, sizeof header);
    if (size) std::memcpy(bytes + sizeof header, payload, size);
    iovec piece{bytes, sizeof header + size};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(vhost_user::kMaxRegions * sizeof(int))] = {};
    if (!fds.empty()) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(fds.size_bytes());
      cmsghdr* rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(fds.size_bytes());
      std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
    }
    const Clock::time_point end = Clock::now() + kPatience;
    while (piece.iov_len > 0) {
      const ssize_t sent = ::sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent >= 0) {
        piece.iov_base = static_cast<uint8_t*>(piece.iov_base) + sent;
        piece.iov_len -= static_cast<size_t>(sent);
        message.msg_control = nullptr;  // the descriptors went with the first byte
        message.msg_controllen = 0;
      } else if (errno == EAGAIN) {
        if (Status ready = wait(POLLOUT, end); !ready) return ready;
      } else if (errno != EINTR) {
        return loses("the connection broke: ", std::strerror(errno));
      }
    }
    return {};
  }

  // Descriptors that a back end might send are not taken: they are gone with this way of reading.
  Status read(void* to, size_t size, Clock::time_point end) {
    auto* at = static_cast<uint8_t*>(to);
    while (size > 0) {
      const ssize_t got = ::recv(fd_, at, size, MSG_DONTWAIT);
      if (got > 0) {
        at += got;
        size -= static_cast<size_t>(got);
      } else if (got == 0) {
        return loses("it has closed the connection");
      } else if (errno == EAGAIN) {
        if (Status ready = wait(POLLIN, end); !ready) return ready;
      } else if (errno != EINTR) {
        return loses("the connection broke: ", std::strerror(errno));
      }
    }
    return {};
  }

  Status receive(vhost_user::Request request, void* payload, size_t size) {
    const Clock::time_point end = Clock::now() + kPatience;
    vhost_user::Header header;
    if (Status got = read(&header, sizeof header, end); !got) return got;
    if (header.request != request || (header.flags & vhost_user::kVersionMask) != vhost_user::kVersion ||
        !(header.flags & vhost_user::kReply) || header.size != size)
      return loses("it answers request ", std::to_string(request), " with what is no answer to it");
    return read(payload, size, end);
  }

  Status wait(short events, Clock::time_point end) {
    for (;;) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
      if (left <= 0) return loses("it does not answer within ", std::to_string(kPatience.count() / 1000), " s");
      pollfd poll{fd_, events, 0};
      const int ready = ::poll(&poll, 1, static_cast<int>(left));
      if (ready > 0) return {};
      if (ready < 0 && errno != EINTR) return loses("it cannot be waited for: ", std::strerror(errno));
    }
  }

  template <typename... Pieces>
  Error loses(const Pieces&... pieces) {
    lost_ = true;
    Error error = fail("the vhost-user back end failed: ", pieces...);
    error.code = NACRE_IO;
    return error;
  }

  int fd_ = -1;
  bool lost_ = false;
  uint64_t features_ = 0;
  uint64_t protocol_ = 0;
  uint64_t max_queues_ = 0;
};

}  // namespace nacre::sdk
