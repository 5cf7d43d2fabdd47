// A network with one other station: it has an address, and answers ARP and ping.
#include <arpa/inet.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <nacre/net_driver.hpp>

namespace {

using namespace nacre::sdk;

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_STRING, .name = "address", .help = "of the station, IPv4", .default_text = "192.0.2.1"},
};
constexpr uint8_t kStation[6] = {0x52, 0x54, 0x00, 0xff, 0xff, 0xfe};
constexpr size_t kLongest = 1514, kHeader = NACRE_NET_HEADER;
// Of a frame, from its first byte: Ethernet, then ARP (RFC 826) or IPv4 (RFC 791) and ICMP (RFC 792).
enum : size_t { kType = 12, kArpOp = 20, kArpSender = 22, kArpTarget = 32, kArpEnd = 42 };
enum : size_t { kIp = 14, kProtocol = 23, kSource = 26, kTarget = 30, kIcmp = 34, kIcmpEnd = 42 };

struct Frame {
  std::array<uint8_t, kHeader + kLongest> bytes;
  size_t length;  // with the header
};

class @Class@ : public NetDriver {
 public:
  using NetDriver::NetDriver;
  ~@Class@() override {
    if (fd_ >= 0) ::close(fd_);
  }

  Status realize(nacre_error*) override {
    if (::inet_pton(AF_INET, text("address"), address_) != 1) return fail("address is not an IPv4 address");
    fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return fd_ < 0 ? Status(fail("no descriptor is left")) : Status();
  }
  Status open(nacre_error*) override {
    first_ = waiting_ = 0;
    return {};
  }
  int fd() const override { return fd_; }

  int64_t receive(std::span<const iovec> into) override {
    if (waiting_ == 0) {
      eventfd_t ignored;
      (void)::eventfd_read(fd_, &ignored);
      return 0;
    }
    const Frame& frame = frames_[first_ % frames_.size()];
    size_t done = 0;
    for (const iovec& part : into) {
      const size_t n = std::min(part.iov_len, frame.length - done);
      std::memcpy(part.iov_base, frame.bytes.data() + done, n);
      done += n;
    }
    ++first_, --waiting_;
    return static_cast<int64_t>(done);
  }

  int32_t send(std::span<const iovec> from) override {
    // A full network loses frames.
    if (waiting_ == frames_.size()) return 1;
    Frame& frame = frames_[(first_ + waiting_) % frames_.size()];
    frame.length = 0;
    for (const iovec& part : from) {
      if (part.iov_len > frame.bytes.size() - frame.length) return NACRE_INVALID;
      std::memcpy(frame.bytes.data() + frame.length, part.iov_base, part.iov_len);
      frame.length += part.iov_len;
    }
    if (frame.length < kHeader + kIp) return NACRE_INVALID;
    if (!answer(frame.bytes.data() + kHeader, frame.length - kHeader)) return 1;
    std::memset(frame.bytes.data(), 0, kHeader);
    ++waiting_;
    (void)::eventfd_write(fd_, 1);
    return 1;
  }

 private:
  // Turns a question for the station into its answer, in place; false where it is none.
  bool answer(uint8_t* frame, size_t length) {
    const uint16_t type = static_cast<uint16_t>(frame[kType] << 8 | frame[kType + 1]);
    if (type == 0x0806) {
      if (length < kArpEnd || frame[kArpOp] != 0 || frame[kArpOp + 1] != 1 || !is_ours(frame + kArpTarget + 6))
        return false;
      frame[kArpOp + 1] = 2;
      std::memcpy(frame + kArpTarget, frame + kArpSender, 10);
      std::memcpy(frame + kArpSender, kStation, 6);
      std::memcpy(frame + kArpSender + 6, address_, 4);
    } else {
      // An echo request, version 4, without options and in one piece.
      if (type != 0x0800 || length < kIcmpEnd || frame[kIp] != 0x45 || frame[kProtocol] != 1 || frame[kIcmp] != 8 ||
          !is_ours(frame + kTarget))
        return false;
      frame[kIcmp] = 0;
      // One's complement: the type has gone from 8 to 0, so the checksum grows by 0x0800 (RFC 1624).
      const uint32_t sum = (static_cast<uint32_t>(frame[kIcmp + 2]) << 8 | frame[kIcmp + 3]) + 0x0800u;
      const uint32_t folded = (sum & 0xffff) + (sum >> 16);
      frame[kIcmp + 2] = static_cast<uint8_t>(folded >> 8);
      frame[kIcmp + 3] = static_cast<uint8_t>(folded);
      std::swap_ranges(frame + kSource, frame + kSource + 4, frame + kTarget);
    }
    std::memcpy(frame, frame + 6, 6);
    std::memcpy(frame + 6, kStation, 6);
    return true;
  }
  bool is_ours(const uint8_t* address) const { return std::memcmp(address, address_, 4) == 0; }

  uint8_t address_[4] = {};
  int fd_ = -1;
  std::array<Frame, 64> frames_;
  size_t first_ = 0, waiting_ = 0;
};

constexpr nacre_type kDriver = net_type<@Class@>("@name@", "a station that answers ARP and ping", kProps);

}  // namespace

NACRE_PLUGIN(&kDriver);
