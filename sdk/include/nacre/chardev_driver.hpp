// A character back end of a plugin's own as a class: derive from ChardevDriver and describe it with chardev_type().
#pragma once

#include <nacre/plugin.hpp>
#include <span>

namespace nacre::sdk {

// The base of every one. See <nacre/abi/chardev_driver.h> for threads and events.
class ChardevDriver : public Instance {
 public:
  using Instance::Instance;

  // [main] Makes what the properties describe. On failure the destructor follows.
  virtual Status realize(nacre_error*) { return {}; }
  // [loop] A device takes the back end, and gives it back. Where somebody is always at the other end, open() says
  // opened().
  virtual Status open(nacre_error* slot) = 0;
  virtual void close() {}
  // [loop] What the guest is to read: moves as much as there is and fits; returns how much.
  virtual uint32_t read(std::span<uint8_t> into) = 0;
  // [loop] What the guest has written: takes as much as there is room for; returns how much.
  virtual uint32_t write(std::span<const uint8_t> from) = 0;

 protected:
  // [loop, from open() to close()]
  void opened() { events_.opened(opaque_); }
  void closed() { events_.closed(opaque_); }
  void readable() { events_.readable(opaque_); }
  void writable() { events_.writable(opaque_); }

 private:
  template <typename D>
  friend struct ChardevDriverTable;
  nacre_chardev_events events_{};
  void* opaque_ = nullptr;
};

// The C table of a class D of them, with D(nacre_instance*) as its constructor.
template <typename D>
struct ChardevDriverTable {
  static ChardevDriver* of(void* self) { return static_cast<ChardevDriver*>(self); }
  static nacre_status create(nacre_instance* instance, void** self, nacre_error* slot) noexcept {
    return boundary::create<ChardevDriver, D>(instance, self, slot);
  }
  static void destroy(void* self) noexcept { delete of(self); }
  static nacre_status open(void* self, const nacre_chardev_events* events, void* opaque, nacre_error* slot) noexcept {
    of(self)->events_ = *events;
    of(self)->opaque_ = opaque;
    return boundary::guard(slot, [&] { return of(self)->open(slot); });
  }
  static void close(void* self) noexcept { of(self)->close(); }
  static uint32_t read(void* self, void* data, uint32_t length) noexcept {
    return of(self)->read({static_cast<uint8_t*>(data), length});
  }
  static uint32_t write(void* self, const void* data, uint32_t length) noexcept {
    return of(self)->write({static_cast<const uint8_t*>(data), length});
  }

  static constexpr nacre_chardev_driver_ops kOps{
      sizeof(nacre_chardev_driver_ops), 0, create, destroy, open, close, read, write};
};

// Describes the driver `name` made of the class D, as in `-chardev name`. Everything pointed to must live as long as
// the process.
template <typename D, size_t N>
constexpr nacre_type chardev_type(const char* name, const char* help, const nacre_prop (&props)[N]) {
  return type_of(NACRE_KIND_CHARDEV, name, help, props, &ChardevDriverTable<D>::kOps);
}

}  // namespace nacre::sdk
