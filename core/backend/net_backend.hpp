// A network back end: a source and sink of frames, each with a 12-byte virtio_net_hdr_v1 in front.
#pragma once

#include <nacre/abi/net.h>

#include <memory>
#include <utility>

#include "core/backend/net_options.hpp"
#include "core/loop/event_loop.hpp"

namespace nacre {

// Made and destroyed on the main thread, used by the one thread of the device that has it. The functions are those of
// nacre_net_v1, where their contract is.
class NetBackend {
 public:
  // Opens what the options name. Descriptors in the options are taken over on success, and left alone otherwise. Fails
  // with one sentence.
  static Result<std::unique_ptr<NetBackend>> open(const NetOptions& options);
  virtual ~NetBackend() = default;

  const NetOptions& options() const { return options_; }

  // [main] A device whose loop this is takes it, and gives it back.
  virtual Status attach(EventLoop&) { return {}; }
  virtual void detach() {}
  virtual void describe(nacre_net_info& info) const = 0;
  virtual int fd(uint32_t queue) const = 0;
  virtual int64_t receive(uint32_t queue, const iovec* iov, uint32_t n_iov) = 0;
  virtual int32_t send(uint32_t queue, const iovec* iov, uint32_t n_iov) = 0;
  virtual nacre_status set_offloads(uint32_t offloads) = 0;
  virtual nacre_status set_queues(uint32_t n) = 0;
  virtual int vhost_fd(uint32_t queue) const = 0;

 protected:
  explicit NetBackend(NetOptions options) : options_(std::move(options)) {}

 private:
  const NetOptions options_;
};

// The longest frame: 64 KiB of IP with an Ethernet header and a VLAN tag.
inline constexpr uint32_t kMaxFrame = 65535 + 14 + 4;

}  // namespace nacre
