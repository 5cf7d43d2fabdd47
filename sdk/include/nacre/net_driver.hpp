// A network of a plugin's own as a class: derive from NetDriver and describe it with net_type().
#pragma once

#include <nacre/plugin.hpp>
#include <span>

namespace nacre::sdk {

// The base of every network, with one pair of queues. See <nacre/abi/net_driver.h> for threads, <nacre/abi/net.h> for
// the meaning of what is returned.
class NetDriver : public Instance {
 public:
  using Instance::Instance;

  // [main] Makes what the properties describe. On failure the destructor follows.
  virtual Status realize(nacre_error* slot) = 0;
  // [main, loop] What frames may be; by default whole ones of an Ethernet's length.
  virtual void info(nacre_net_info& info) const { info.max_frame = 1514; }
  // [loop] A NIC takes the network, and gives it back.
  virtual Status open(nacre_error*) { return {}; }
  virtual void close() {}
  // [loop, main] Readable when there is a frame, writable when there is room again.
  virtual int fd() const = 0;
  // [loop] The next frame to the guest, with NACRE_NET_HEADER bytes before it.
  virtual int64_t receive(std::span<const iovec> into) = 0;
  // [loop] A frame from the guest, likewise.
  virtual int32_t send(std::span<const iovec> from) = 0;
  // [loop]
  virtual Status set_offloads(uint32_t offloads) {
    return offloads ? Status(fail("no offloads are offered")) : Status();
  }
};

// The C table of a class D of networks, with D(nacre_instance*) as its constructor.
template <typename D>
struct NetDriverTable {
  static NetDriver* of(void* self) { return static_cast<NetDriver*>(self); }
  static nacre_status create(nacre_instance* instance, void** self, nacre_error* slot) noexcept {
    return boundary::create<NetDriver, D>(instance, self, slot);
  }
  static void destroy(void* self) noexcept { delete of(self); }
  static nacre_status open(void* self, nacre_error* slot) noexcept {
    return boundary::guard(slot, [&] { return of(self)->open(slot); });
  }
  static void close(void* self) noexcept { of(self)->close(); }
  static void info(void* self, nacre_net_info* info) noexcept {
    info->n_queues = 1;
    of(self)->info(*info);
  }
  static int32_t fd(void* self, uint32_t) noexcept { return of(self)->fd(); }
  static int64_t receive(void* self, uint32_t, const iovec* iov, uint32_t n) noexcept {
    return of(self)->receive({iov, n});
  }
  static int32_t send(void* self, uint32_t, const iovec* iov, uint32_t n) noexcept { return of(self)->send({iov, n}); }
  static nacre_status set_offloads(void* self, uint32_t offloads) noexcept {
    return boundary::guard(nullptr, [&] { return of(self)->set_offloads(offloads); });
  }

  static constexpr nacre_net_driver_ops kOps{
      sizeof(nacre_net_driver_ops), 0, create, destroy, open, close, info, fd, receive, send, set_offloads, nullptr};
};

// Describes the driver `name` made of the class D, as in `-netdev name`. Everything pointed to must live as long as the
// process.
template <typename D, size_t N>
constexpr nacre_type net_type(const char* name, const char* help, const nacre_prop (&props)[N]) {
  return type_of(NACRE_KIND_NET, name, help, props, &NetDriverTable<D>::kOps);
}

}  // namespace nacre::sdk
