// The machine's balloon, for the device that is it.
#pragma once

#include <nacre/boundary.hpp>

namespace nacre::sdk {

// This device is the machine's balloon while it lives. See <nacre/abi/balloon.h>.
class Balloon {
 public:
  Balloon() = default;
  Balloon(const Balloon&) = delete;
  Balloon& operator=(const Balloon&) = delete;
  ~Balloon() { detach(); }

  Status attach(nacre_instance* instance, const nacre_balloon_ops& ops, void* self, nacre_error* slot) {
    return ErrorSlot::wrap(slot, "the machine takes no balloon", [&](nacre_error* error) {
      return host.balloon->attach(instance, &ops, self, &balloon_, error);
    });
  }
  void detach() {
    if (balloon_) host.balloon->detach(balloon_);
    balloon_ = nullptr;
  }
  // Any thread.
  void changed(uint64_t actual) { host.balloon->changed(balloon_, actual); }

 private:
  nacre_balloon* balloon_ = nullptr;
};

}  // namespace nacre::sdk
