// The border between a plugin's C++ and the C contract: errors become words in a slot, exceptions stop here.
#pragma once

#include <exception>
#include <memory>
#include <nacre/host.hpp>
#include <nacre/result.hpp>
#include <new>

namespace nacre::sdk {

// A slot for the words of a host service that fails. Hands them on as an Error.
class ErrorSlot {
 public:
  // Returns success, or the code with the host's words for it, or `otherwise` where the host gave none.
  template <typename Call>
  static Status wrap(nacre_error* slot, const char* otherwise, Call call) {
    nacre_status code = call(slot);
    if (code == NACRE_OK) return {};
    const char* words = slot && host.error ? host.error->text(slot) : "";
    return Error{code, words[0] ? words : otherwise};
  }
};

namespace boundary {

inline void say(nacre_error* slot, const char* text) {
  if (slot && host.error) host.error->set(slot, text);
}

inline nacre_status finish(nacre_error* slot, const Status& status) {
  if (status) return NACRE_OK;
  say(slot, status.error().message.c_str());
  return status.error().code == NACRE_OK ? NACRE_INTERNAL : status.error().code;
}

// Runs what may fail or throw.
template <typename Body>
nacre_status guard(nacre_error* slot, Body body) noexcept {
  try {
    return finish(slot, body());
  } catch (const std::bad_alloc&) {
    say(slot, "the host has no memory for it");  // the host's fault, and not the plugin's
    return NACRE_NO_MEMORY;
  } catch (const std::exception& thrown) {
    say(slot, thrown.what());
  } catch (...) {
    say(slot, "something that is not an exception");
  }
  return NACRE_PLUGIN_EXCEPTION;
}

// Makes and realizes an object of the class D, whose table knows it by its base.
template <typename Base, typename D>
nacre_status create(nacre_instance* instance, void** self, nacre_error* slot) noexcept {
  return guard(slot, [&]() -> Status {
    auto made = std::make_unique<D>(instance);
    if (Status realized = made->realize(slot); !realized) return realized;
    *self = static_cast<Base*>(made.release());
    return {};
  });
}

}  // namespace boundary
}  // namespace nacre::sdk
