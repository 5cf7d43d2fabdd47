// A character back end, for a device.
#pragma once

#include <nacre/boundary.hpp>

namespace nacre::sdk {

// Holds one back end while it lives. See <nacre/abi/chardev.h> for threads and events.
class Chardev {
 public:
  Chardev() = default;
  Chardev(const Chardev&) = delete;
  Chardev& operator=(const Chardev&) = delete;
  ~Chardev() { close(); }

  // `events` must live until the return.
  Status open(nacre_instance* instance, const char* id, const nacre_chardev_events& events, void* opaque,
              nacre_error* slot) {
    return ErrorSlot::wrap(slot, "the character back end cannot be used", [&](nacre_error* error) {
      return host.chardev->open(instance, id, &events, opaque, &chardev_, error);
    });
  }
  // Returns a connected stream socket, which the caller closes.
  Result<int> connect(nacre_instance* instance, const char* id, nacre_error* slot) {
    int32_t fd = -1;
    Status connected = ErrorSlot::wrap(slot, "the character back end cannot be connected to", [&](nacre_error* error) {
      return host.chardev->connect(instance, id, &chardev_, &fd, error);
    });
    if (!connected) return connected.error();
    return static_cast<int>(fd);
  }
  void close() {
    if (chardev_) host.chardev->close(chardev_);
    chardev_ = nullptr;
  }
  explicit operator bool() const { return chardev_ != nullptr; }

  uint32_t read(void* data, uint32_t length) { return host.chardev->read(chardev_, data, length); }
  uint32_t write(const void* data, uint32_t length) { return host.chardev->write(chardev_, data, length); }

 private:
  nacre_chardev* chardev_ = nullptr;
};

}  // namespace nacre::sdk
