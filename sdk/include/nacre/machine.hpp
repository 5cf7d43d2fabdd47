// A machine type as a class (draft, tier locked): derive from Machine and describe it with machine_type().
#pragma once

#include <nacre/plugin.hpp>

namespace nacre::sdk {

// The host calls it in the order layout -> build -> place ... -> boot, and boot again for each reset; [main].
class Machine {
 public:
  Machine(nacre_instance* instance, const nacre_machine_config& config) : instance_(instance), config_(config) {}
  virtual ~Machine() = default;
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  virtual Status layout(nacre_error* slot) = 0;
  virtual Status build(nacre_error* slot) = 0;
  virtual Status place(const nacre_device_desc& device, nacre_placement& placement) = 0;
  virtual void displace(const nacre_placement& placement) = 0;
  virtual Status boot(nacre_error* slot) = 0;
  // Of a machine M with `static constexpr const char* kCpuDriver`: see nacre_machine_ops.
  virtual void cpu_changed(uint32_t, bool) {}
  virtual bool cpu_leaving(uint32_t) { return false; }

 protected:
  nacre_instance* instance() const { return instance_; }
  const nacre_machine_config& config() const { return config_; }
  bool flag(const char* name) const {
    uint8_t value = 0;
    return host.props->get_bool(instance_, name, &value) == NACRE_OK && value;
  }

 private:
  nacre_instance* instance_;
  const nacre_machine_config& config_;
};

// The C table of a machine class M, with M(nacre_instance*, const nacre_machine_config&) as its constructor. The host
// keeps the configuration as long as the machine.
template <typename M>
struct MachineTable {
  static Machine* of(void* self) { return static_cast<Machine*>(self); }
  static nacre_status create(nacre_instance* instance, const nacre_machine_config* config, void** self,
                             nacre_error* slot) noexcept {
    return boundary::guard(slot, [&]() -> Status {
      *self = static_cast<Machine*>(new M(instance, *config));
      return {};
    });
  }
  static void destroy(void* self) noexcept { delete of(self); }
  static nacre_status layout(void* self, nacre_error* slot) noexcept {
    return boundary::guard(slot, [&] { return of(self)->layout(slot); });
  }
  static nacre_status build(void* self, nacre_error* slot) noexcept {
    return boundary::guard(slot, [&] { return of(self)->build(slot); });
  }
  static nacre_status place(void* self, const nacre_device_desc* device, nacre_placement* placement,
                            nacre_error* slot) noexcept {
    return boundary::guard(slot, [&] { return of(self)->place(*device, *placement); });
  }
  static void displace(void* self, const nacre_placement* placement) noexcept { of(self)->displace(*placement); }
  static nacre_status boot(void* self, nacre_error* slot) noexcept {
    return boundary::guard(slot, [&] { return of(self)->boot(slot); });
  }
  static void cpu_changed(void* self, uint32_t index, uint32_t plugged) noexcept {
    of(self)->cpu_changed(index, plugged != 0);
  }
  static uint32_t cpu_leaving(void* self, uint32_t index) noexcept { return of(self)->cpu_leaving(index); }
  static constexpr const char* cpu_driver() {
    if constexpr (requires { M::kCpuDriver; }) return M::kCpuDriver;
    return nullptr;
  }

  static constexpr nacre_machine_ops kOps{sizeof(nacre_machine_ops),
                                          0,
                                          create,
                                          destroy,
                                          layout,
                                          build,
                                          place,
                                          displace,
                                          boot,
                                          cpu_driver(),
                                          cpu_changed,
                                          cpu_leaving};
};

template <typename M, size_t N>
constexpr nacre_type machine_type(const char* name, const char* help, const nacre_prop (&props)[N]) {
  return type_of(NACRE_KIND_MACHINE, name, help, props, &MachineTable<M>::kOps);
}

template <typename M>
constexpr nacre_type machine_type(const char* name, const char* help) {
  nacre_type type{};
  type.size = sizeof(nacre_type);
  type.kind = NACRE_KIND_MACHINE;
  type.name = name;
  type.help = help;
  type.ops = &MachineTable<M>::kOps;
  return type;
}

}  // namespace nacre::sdk
