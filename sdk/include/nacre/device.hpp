// A device as a class: derive from Device (or VirtioDevice), list its properties, name it in NACRE_PLUGIN.
#pragma once

#include <nacre/boundary.hpp>
#include <nacre/instance.hpp>
#include <nacre/log.hpp>
#include <nacre/memory.hpp>
#include <string>
#include <utility>

namespace nacre::sdk {

// The base of every device. The host calls it in the order realize -> ... -> unrealize -> destructor, on the threads
// that <nacre/abi/entry.h> names.
class Device : public Instance {
 public:
  using Instance::Instance;

  // [main] Takes what the device needs. On failure unrealize() does not follow: what was taken is given back by the
  // destructors of its members.
  virtual Status realize(nacre_error* slot) = 0;
  // [main]
  virtual void unrealize() {}
  // [loop]
  virtual void reset() {}
  // [loop]
  virtual void quiesce(nacre_callback done, void* opaque) { done(opaque); }
  virtual void resume() {}
  // [loop, quiesced]
  virtual Status save(nacre_state_writer*) { return {}; }
  virtual Status load(nacre_state_reader*) { return {}; }
};

// The C table of a device class D, with D(nacre_instance*) as its constructor.
template <typename D>
struct DeviceTable {
  static nacre_status create(nacre_instance* instance, void** self, nacre_error* slot) noexcept {
    return boundary::guard(slot, [&]() -> Status {
      *self = static_cast<Device*>(new D(instance));
      return {};
    });
  }
  static Device* of(void* self) { return static_cast<Device*>(self); }
  static nacre_status realize(void* self, nacre_error* slot) noexcept {
    return boundary::guard(slot, [&] { return of(self)->realize(slot); });
  }
  static void unrealize(void* self) noexcept { of(self)->unrealize(); }
  static void destroy(void* self) noexcept { delete of(self); }
  static void reset(void* self) noexcept { of(self)->reset(); }
  static void quiesce(void* self, nacre_callback done, void* opaque) noexcept { of(self)->quiesce(done, opaque); }
  static void resume(void* self) noexcept { of(self)->resume(); }
  static nacre_status save(void* self, nacre_state_writer* out, nacre_error* slot) noexcept {
    return boundary::guard(slot, [&] { return of(self)->save(out); });
  }
  static nacre_status load(void* self, nacre_state_reader* in, nacre_error* slot) noexcept {
    return boundary::guard(slot, [&] { return of(self)->load(in); });
  }

  static constexpr nacre_device_ops kOps{
      sizeof(nacre_device_ops), 0, create, realize, unrealize, destroy, reset, quiesce, resume, save, load};
};

}  // namespace nacre::sdk
