// What makes a shared object a plugin: the types it offers and its one exported symbol.
#pragma once

#include <array>
#include <nacre/device.hpp>
#include <span>

namespace nacre::sdk {

// A type of any kind, with the C table of its class.
template <size_t N>
constexpr nacre_type type_of(uint32_t kind, const char* name, const char* help, const nacre_prop (&props)[N],
                             const void* ops) {
  nacre_type type{};
  type.size = sizeof(nacre_type);
  type.kind = kind;
  type.name = name;
  type.help = help;
  type.props = props;
  type.prop_size = sizeof(nacre_prop);
  type.n_props = N;
  type.ops = ops;
  return type;
}

// Describes the driver `name` made of the class D, on `bus`; `aliases` ends with NULL. Everything pointed to must live
// as long as the process.
template <typename D, size_t N>
constexpr nacre_type device_type(const char* name, const char* bus, const char* help, const nacre_prop (&props)[N],
                                 uint32_t flags = 0, uint32_t state_version = 0, const char* const* aliases = nullptr) {
  nacre_type type = type_of(NACRE_KIND_DEVICE, name, help, props, &DeviceTable<D>::kOps);
  type.aliases = aliases;
  type.bus = bus;
  type.flags = flags;
  type.state_version = state_version;
  return type;
}

}  // namespace nacre::sdk

// NACRE_PLUGIN(&type, ...): once in a plugin, at namespace scope. Id and version come from nacre_add_plugin(), which
// writes the same into the note.
#define NACRE_PLUGIN(...)                                                                      \
  extern "C" __attribute__((visibility("default"))) const nacre_plugin* nacre_plugin_entry_v0( \
      const nacre_host_hello* hello) noexcept {                                                \
    static const nacre_type* const types[] = {__VA_ARGS__};                                    \
    static const nacre_plugin plugin = {sizeof(nacre_plugin),                                  \
                                        NACRE_PLUGIN_MAGIC,                                    \
                                        NACRE_ABI_MAJOR,                                       \
                                        NACRE_ABI_MINOR,                                       \
                                        static_cast<uint32_t>(std::size(types)),               \
                                        NACRE_PLUGIN_ID,                                       \
                                        NACRE_PLUGIN_VERSION,                                  \
                                        types,                                                 \
                                        nullptr,                                               \
                                        nullptr,                                               \
                                        nullptr};                                              \
    nacre::sdk::host.connect(hello);                                                           \
    return &plugin;                                                                            \
  }                                                                                            \
  static_assert(true, "the macro wants a semicolon")
