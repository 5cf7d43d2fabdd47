// What every object of a plugin has: the host's handle for it, and the values of its properties.
#pragma once

#include <nacre/host.hpp>
#include <optional>

namespace nacre::sdk {

class Instance {
 public:
  explicit Instance(nacre_instance* instance) : instance_(instance) {}
  virtual ~Instance() = default;
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

 protected:
  nacre_instance* instance() const { return instance_; }

  // Property values; nothing when unset. Strings live as long as the object.
  std::optional<uint64_t> u64(const char* name) const {
    uint64_t value = 0;
    return host.props->get_u64(instance_, name, &value) == NACRE_OK ? std::optional(value) : std::nullopt;
  }
  bool flag(const char* name) const {
    uint8_t value = 0;
    return host.props->get_bool(instance_, name, &value) == NACRE_OK && value;
  }
  const char* text(const char* name) const {
    const char* value = nullptr;
    return host.props->get_string(instance_, name, &value) == NACRE_OK ? value : nullptr;
  }

 private:
  nacre_instance* instance_;
};

}  // namespace nacre::sdk
