// A network back end, for a device.
#pragma once

#include <cstddef>
#include <nacre/boundary.hpp>
#include <span>

namespace nacre::sdk {

// Holds one network while it lives, or none. See <nacre/abi/net.h> for threads and the meaning of what is returned.
class Net {
 public:
  Net() = default;
  Net(const Net&) = delete;
  Net& operator=(const Net&) = delete;
  ~Net() { close(); }

  Status open(nacre_instance* instance, const char* id, nacre_error* slot) {
    return ErrorSlot::wrap(slot, "the network cannot be used",
                           [&](nacre_error* error) { return host.net->open(instance, id, &net_, error); });
  }
  void close() {
    if (net_) host.net->close(net_);
    net_ = nullptr;
  }
  explicit operator bool() const { return net_ != nullptr; }

  nacre_net_info info() const {
    nacre_net_info info{};
    info.size = sizeof info;
    host.net->info(net_, &info);
    return info;
  }
  int fd(uint32_t queue) const { return host.net->fd(net_, queue); }
  int64_t receive(uint32_t queue, std::span<const iovec> into) {
    return host.net->receive(net_, queue, into.data(), static_cast<uint32_t>(into.size()));
  }
  int32_t send(uint32_t queue, std::span<const iovec> from) {
    return host.net->send(net_, queue, from.data(), static_cast<uint32_t>(from.size()));
  }
  bool set_offloads(uint32_t offloads) { return host.net->set_offloads(net_, offloads) == NACRE_OK; }
  bool set_queues(uint32_t n) { return host.net->set_queues(net_, n) == NACRE_OK; }
  // A host that is older than this function has nobody to ask for it.
  void on_announce(nacre_callback announce, void* opaque) {
    if (host.net->size > offsetof(nacre_net_v1, on_announce)) host.net->on_announce(net_, announce, opaque);
  }
  int vhost_fd(uint32_t queue) const { return host.net->vhost_fd(net_, queue); }

 private:
  nacre_net* net_ = nullptr;
};

}  // namespace nacre::sdk
