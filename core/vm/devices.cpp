#include "core/vm/devices.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>

#include "core/base/error_slot.hpp"
#include "core/base/log.hpp"
#include "core/plugin/breadcrumb.hpp"
#include "core/plugin/bus_names.hpp"
#include "core/plugin/registry.hpp"
#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre {
namespace {

const nacre_device_ops& ops_of(const nacre_instance& instance) {
  return *static_cast<const nacre_device_ops*>(instance.type->ops);
}

// The value of a property; "" when it is not there.
std::string value_of(const Devices::Properties& properties, std::string_view name) {
  for (const auto& [own, value] : properties)
    if (own == name) return value;
  return "";
}

// The same, and takes it out: what the host gives every device, the driver does not declare.
std::string take(Devices::Properties& properties, std::string_view name) {
  std::string value = value_of(properties, name);
  std::erase_if(properties, [&](auto& property) { return property.first == name; });
  return value;
}

bool declares(const nacre_type& type, std::string_view name) {
  for (const nacre_prop& property : properties_of(type))
    if (property.name == name) return true;
  return false;
}

// Gives what is by the number of vCPUs where the user gives nothing.
void add_numbers_by_vcpu(const nacre_type& type, uint64_t vcpus, Devices::Properties& properties) {
  for (const nacre_prop& property : properties_of(type)) {
    if (!(property.flags & NACRE_PROP_PER_VCPU)) continue;
    const uint64_t number = std::max(property.min, property.max ? std::min(vcpus, property.max) : vcpus);
    PropertyValues::add_default(properties, property.name, std::to_string(number));
  }
}

// Its place in the order in which firmware tries what it may start from; none where the user has not said.
std::optional<uint64_t> bootindex_of(const nacre_instance& device) {
  uint64_t index = 0;
  if (device.properties.get_u64("bootindex", index) != NACRE_OK) return {};
  return index;
}

// What a device on PCI may be given besides its place: only the first has an effect, the others are what clients of
// QEMU send.
constexpr const char* kPciWords[] = {"multifunction", "disable-legacy", "disable-modern",
                                     "romfile",       "vectors",        "share-rw"};

// Puts numbers in place of the names of passed descriptors. Those numbers are copies: a device that fails may have
// closed its own, and the client's stays for another try.
Result<std::vector<nacre_instance::Passed>> take_passed(const PassedFds& fds, const nacre_type& type,
                                                        Devices::Properties& properties) {
  std::vector<nacre_instance::Passed> taken;
  for (auto& [property, text] : PropertyValues::descriptors(type, properties)) {
    const int fd = fds.find(*text);
    if (fd < 0) {
      Result<std::string> number = fds.in_numbers(fmt::format("property '{}' of '{}'", property, type.name), *text);
      if (!number) return number.error();
      continue;
    }
    Fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (!copy) return fail("no descriptor is left for '{}': {}.", *text, strerror(errno));
    taken.push_back({property, *text, std::move(copy)});
    *text = std::to_string(taken.back().fd.get());
  }
  return taken;
}

}  // namespace

Devices::~Devices() {
  clear();
}

void Devices::clear() {
  while (!devices_.empty()) take_out(*devices_.back());
}

nacre_instance* Devices::find(const std::string& id) {
  auto found = std::find_if(devices_.begin(), devices_.end(), [&](auto& device) { return device->id == id; });
  return found == devices_.end() ? nullptr : found->get();
}

Status Devices::set_default(const std::string& driver, const std::string& property, const std::string& value) {
  Result<LoadedType> loaded = registry_.load(NACRE_KIND_DEVICE, resolve_bus_name(registry_, driver).driver);
  if (!loaded) return loaded.error();
  Result<std::string> name = PropertyValues::check(*loaded->type, property, value);
  if (!name) return name.error();
  defaults_.insert(defaults_.begin(), {loaded->type->name, *name, value});  // the last word of the user's counts
  return {};
}

Result<std::unique_ptr<nacre_instance>> Devices::make(const std::string& driver, const std::string& id,
                                                      Properties properties, bool vacant) {
  // Among several plugins that offer the driver, the one of this id.
  const BusName name = resolve_bus_name(registry_, driver);
  if (name.pci && !vm_.platform().pci())
    return fail("driver '{}' needs PCI, which machine '{}' does not have; use {}.", driver, vm_.machine().type_name(),
                name.driver);
  Result<LoadedType> loaded = registry_.load(NACRE_KIND_DEVICE, name.driver, take(properties, "plugin"));
  if (!loaded) return loaded.error();
  const bool pci = name.pci || (loaded->type->bus && std::string_view(loaded->type->bus) == "pci");
  if (pci && !vm_.platform().pci())
    return fail("driver '{}' needs PCI, which machine '{}' does not have.", driver, vm_.machine().type_name());
  std::map<std::string, std::string> place_words;
  for (const char* word : {"bus", "addr", "lun"})
    if (!declares(*loaded->type, word)) place_words[word] = take(properties, word);
  if (pci)
    for (const char* word : kPciWords)
      if (!declares(*loaded->type, word)) place_words[word] = take(properties, word);
  for (const Default& one : defaults_)
    if (one.driver == loaded->type->name) PropertyValues::add_default(properties, one.property, one.value);
  if (pci) add_numbers_by_vcpu(*loaded->type, vm_.platform().vcpus_at_start(), properties);
  Result<std::vector<nacre_instance::Passed>> passed = take_passed(vm_.passed_fds(), *loaded->type, properties);
  if (!passed) return passed.error();
  Result<PropertyValues> values = PropertyValues::parse(*loaded->type, properties, vacant);
  if (!values) return values.error();

  auto device =
      std::make_unique<nacre_instance>(nacre_instance{vm_, loaded->type, id, loaded->plugin_id, std::move(*values)});
  if (name.pci) device->driver = driver;
  device->on_pci = name.pci;
  device->place_words = std::move(place_words);
  device->passed = std::move(*passed);
  device->loop = &vm_.loop();
  if (const char* iothread = device->properties.text("iothread")) {
    auto found = vm_.iothreads().find(iothread);
    if (found == vm_.iothreads().end())
      return fail("{}: there is no iothread '{}'; make it with -object iothread,id={}.", device->name(), iothread,
                  iothread);
    device->loop = &found->second->loop();
  }
  if (Status realized = realize(*device); !realized) return realized.error();
  return device;
}

void Devices::unmake(nacre_instance& device) {
  undo(device, true);
}

Result<nacre_instance*> Devices::add(const std::string& driver, const std::string& id, const Properties& properties) {
  return add(driver, id, properties, false);
}

Result<nacre_instance*> Devices::add(const std::string& driver, const std::string& id, const Properties& properties,
                                     bool hot) {
  if (!id.empty() && find(id)) {
    if (is_cpu(driver)) return fail("Device id {} already existed.", id);
    return fail("Device id {} existed: each device needs an id of its own.", id);
  }
  const std::string own_id = id.empty() ? driver + "." + std::to_string(unnamed_++) : id;
  Result<std::unique_ptr<nacre_instance>> device = make(driver, own_id, properties, false);
  if (!device) return device.error();
  if (Status unique = check_bootindex(**device); !unique) {
    undo(**device, true);
    return unique.error();
  }
  // Devices that are neither virtio nor PCI place themselves by their properties.
  if (const auto& made = **device;
      made.type->bus && std::string_view(made.type->bus) == "pci" && !made.pci_function()) {
    const std::string name = made.name();
    undo(**device, true);
    return fail("{}: it is a PCI device whose plugin has made no function; this is a defect of the plugin.", name);
  }
  const bool cpu = (*device)->type->bus && std::string_view((*device)->type->bus) == "cpu";
  if ((*device)->virtio || (*device)->pci_function() || cpu) {
    if (Status placed = vm_.machine().place(**device, hot); !placed) {
      undo(**device, true);
      return placed.error();
    }
  }
  for (const nacre_instance::Passed& passed : (*device)->passed) vm_.passed_fds().remove(passed.name);
  if (cpu && hot) tell_of_resize();
  devices_.push_back(std::move(*device));
  return devices_.back().get();
}

bool Devices::is_cpu(const std::string& driver) const {
  const char* own = vm_.has_machine() ? vm_.machine().cpu_driver() : nullptr;
  return own && driver == own;
}

Result<nacre_instance*> Devices::hot_add(const std::string& driver, const std::string& id, Properties properties) {
  Result<LoadedType> loaded =
      registry_.load(NACRE_KIND_DEVICE, resolve_bus_name(registry_, driver).driver, value_of(properties, "plugin"));
  if (!loaded) return loaded.error();
  if (!(loaded->type->flags & NACRE_TYPE_HOTPLUGGABLE))
    return fail("driver '{}' cannot be added while the guest runs; name it on the command line with -device {}.",
                driver, driver);
  if (is_cpu(driver) && id.empty()) return fail("Device id can't be empty.");
  for (const nacre_prop& property : properties_of(*loaded->type)) {
    auto given = [&](auto& one) { return one.first == property.name; };
    if (is_back_end(property) && std::none_of(properties.begin(), properties.end(), given))
      properties.emplace_back(property.name, id);
  }
  return add(driver, id, properties, true);
}

Error Devices::failure(const nacre_instance& instance, const char* function, nacre_status code,
                       const std::string& words) {
  if (code != NACRE_PLUGIN_EXCEPTION)
    return fail("{}: {}", instance.name(), words.empty() ? "it cannot be made, and its plugin gave no reason." : words);
  const std::string reason = exception_text(instance.plugin_id, function, words, instance.id);
  registry_.report_failure(instance.type, reason);
  return Error{reason};
}

Status Devices::realize(nacre_instance& device) {
  const nacre_device_ops& ops = ops_of(device);
  ErrorSlot slot;
  nacre_status code;
  {
    Breadcrumb crumb(device.plugin_id, device.id, "create");
    code = ops.create(&device, &device.self, slot.handle());
  }
  if (code != NACRE_OK) {
    device.self = nullptr;
    return failure(device, "create", code, slot.text(""));
  }
  {
    Breadcrumb crumb(device.plugin_id, device.id, "realize");
    code = ops.realize(device.self, slot.handle());
  }
  if (code != NACRE_OK) {
    undo(device, false);
    return failure(device, "realize", code, slot.text(""));
  }
  return {};
}

void Devices::undo(nacre_instance& device, bool realized) {
  const nacre_device_ops& ops = ops_of(device);
  if (device.placed) vm_.machine().displace(device);
  if (realized) {
    Breadcrumb crumb(device.plugin_id, device.id, "unrealize");
    ops.unrealize(device.self);
  }
  services::end_posts(device);
  if (device.self) {
    Breadcrumb crumb(device.plugin_id, device.id, "destroy");
    ops.destroy(device.self);
    device.self = nullptr;
  }
  services::take_back(device);
}

std::vector<const nacre_instance*> Devices::in_boot_order() const {
  std::map<uint64_t, const nacre_instance*> order;
  for (const auto& device : devices_)
    if (std::optional<uint64_t> index = bootindex_of(*device)) order.emplace(*index, device.get());
  std::vector<const nacre_instance*> devices;
  devices.reserve(order.size());
  for (const auto& [index, device] : order) devices.push_back(device);
  return devices;
}

Status Devices::check_bootindex(const nacre_instance& device) const {
  const std::optional<uint64_t> wanted = bootindex_of(device);
  if (!wanted) return {};
  for (const auto& other : devices_)
    if (bootindex_of(*other) == wanted)
      return fail("{}: bootindex {} is that of {} already; each device needs one of its own.", device.name(), *wanted,
                  other->name());
  return {};
}

bool Devices::hold(const std::function<void()>& settled) {
  bool idle = true;
  for (auto& device : devices_) idle = services::hold(*device, std::chrono::milliseconds(0), settled, nullptr) && idle;
  return idle;
}

void Devices::go_on() {
  for (auto& device : devices_) services::go_on(*device);
}

void Devices::reset() {
  for (auto& device : devices_) {
    const nacre_device_ops& ops = ops_of(*device);
    // What is on a bus is reset with it.
    if (device->virtio || device->pci_function() || !ops.reset) continue;
    device->loop->call([&] {
      Breadcrumb crumb(device->plugin_id, device->id, "reset");
      ops.reset(device->self);
    });
  }
}

bool Devices::press_power_button() {
  bool pressed = false;
  for (auto& device : devices_) {
    if (!device->powerdown) continue;
    device->powerdown();
    pressed = true;
  }
  return pressed;
}

}  // namespace nacre
