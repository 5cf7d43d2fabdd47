#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <nacre/fake/device.hpp>
#include <stdexcept>

namespace nacre::fake {
namespace {

[[noreturn]] void refuse(const std::string& sentence) {
  throw std::runtime_error(sentence);
}

void expect(nacre_status status, const nacre_error& slot, const std::string& what) {
  if (status != NACRE_OK)
    refuse(what + " has failed with status " + std::to_string(status) + ": " +
           (slot.text[0] ? slot.text : "it gives no words."));
}

// Mapped once to a process, as the host does, and never unmapped; init() has been called.
const nacre_plugin& plugin_of(const std::string& file) {
  static std::map<std::string, const nacre_plugin*> mapped;
  const nacre_plugin*& plugin = mapped[file];
  if (plugin) return *plugin;
  void* library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!library) refuse(std::string("the plugin cannot be mapped: ") + ::dlerror());
  auto entry = reinterpret_cast<nacre_plugin_entry>(::dlsym(library, NACRE_ENTRY_SYMBOL));
  if (!entry) refuse("'" + file + "' has no " NACRE_ENTRY_SYMBOL "; it is not a plugin of this SDK.");
  const nacre_plugin* shown = entry(hello());
  if (!shown) refuse("'" + file + "' does not work with this host.");
  nacre_error slot;
  if (shown->init) expect(shown->init(&slot), slot, "init()");
  plugin = shown;
  return *plugin;
}

const nacre_type& type_of(const nacre_plugin& plugin, const std::string& driver) {
  std::string others;
  for (uint32_t i = 0; i < plugin.n_types; ++i) {
    const nacre_type& type = *plugin.types[i];
    if (type.kind == NACRE_KIND_DEVICE && driver == type.name) return type;
    others += (others.empty() ? "" : ", ") + std::string(type.name);
  }
  refuse("there is no device '" + driver + "' in " + plugin.id + ", which has " + others + ".");
}

uint64_t number(const nacre_prop& prop, const std::string& text) {
  char* end = nullptr;
  uint64_t value = std::strtoull(text.c_str(), &end, 0);
  if (prop.type == NACRE_PROP_SIZE && *end) {
    const char* suffix = std::strchr("KMGT", *end);
    if (suffix) value <<= 10 * (suffix - "KMGT" + 1), ++end;
  }
  if (text.empty() || *end) refuse(std::string("property '") + prop.name + "' is no number: '" + text + "'.");
  return value;
}

Value value_of(const nacre_prop& prop, const std::string& text) {
  Value value{prop.type, 0, text};
  if (prop.type == NACRE_PROP_BOOL) {
    value.number = text == "on" || text == "true" || text == "yes";
  } else if (prop.type == NACRE_PROP_U64 || prop.type == NACRE_PROP_SIZE || prop.type == NACRE_PROP_FD) {
    value.number = number(prop, text);
  }
  return value;
}

std::map<std::string, Value> values_of(const nacre_type& type, Device::Properties given) {
  std::map<std::string, Value> values;
  const auto* table = reinterpret_cast<const uint8_t*>(type.props);
  for (uint32_t i = 0; i < type.n_props; ++i) {
    nacre_prop prop{};
    std::memcpy(&prop, table + size_t{i} * type.prop_size, std::min<size_t>(type.prop_size, sizeof prop));
    auto found = given.find(prop.name);
    if (found != given.end()) {
      values[prop.name] = value_of(prop, found->second);
      given.erase(found);
    } else if (prop.default_text) {
      values[prop.name] = value_of(prop, prop.default_text);
    } else if (prop.flags & NACRE_PROP_REQUIRED) {
      refuse(std::string("property '") + prop.name + "' of '" + type.name + "' is required.");
    }
  }
  if (!given.empty()) refuse(std::string("'") + type.name + "' has no property '" + given.begin()->first + "'.");
  return values;
}

}  // namespace

Device::Device(const std::string& file, const std::string& driver, const Properties& properties)
    : type_(&type_of(plugin_of(file), driver)) {
  const auto* ops = static_cast<const nacre_device_ops*>(type_->ops);
  std::memcpy(&ops_, ops, std::min<size_t>(ops->size, sizeof ops_));
  instance_ = std::make_unique<nacre_instance>(memory_, loop_, "test");
  instance_->properties.merge(values_of(*type_, properties));
  nacre_error slot;
  expect(ops_.create(instance_.get(), &self_, &slot), slot, "create()");
}

Device::~Device() {
  if (realized_) ops_.unrealize(self_);
  loop_.drop_posts();
  ops_.destroy(self_);
  loop_.drop_posts();
}

void Device::realize() {
  nacre_error slot;
  expect(ops_.realize(self_, &slot), slot, "realize()");
  realized_ = true;
  if (ops_.reset && !instance_->virtio) ops_.reset(self_);
}

void Device::reset() {
  if (ops_.reset) ops_.reset(self_);
  if (instance_->pci) instance_->pci->reset_config();
}

void Device::unrealize() {
  ops_.unrealize(self_);
  realized_ = false;
  loop_.drop_posts();
  const std::string held = instance_->held();
  if (!held.empty()) refuse("the device still holds " + held + " after unrealize().");
  if (loop_.watches() || loop_.timers())
    refuse("the device still has " + std::to_string(loop_.watches()) + " watches and " +
           std::to_string(loop_.timers()) + " timers on its loop after unrealize().");
  if (memory_.views()) refuse("the device still holds a view of guest memory after unrealize().");
}

void Device::quiesce() {
  if (!ops_.quiesce) return;
  bool done = false;
  ops_.quiesce(
      self_, [](void* opaque) noexcept { *static_cast<bool*>(opaque) = true; }, &done);
  if (!loop_.run_until([&] { return done; }, std::chrono::seconds(2))) refuse("quiesce() was not done within 2 s.");
}

void Device::resume() {
  if (ops_.resume) ops_.resume(self_);
}

State Device::save() {
  if (!ops_.save) refuse(std::string("'") + type_->name + "' has no save().");
  nacre_state_writer out;
  nacre_error slot;
  expect(ops_.save(self_, &out, &slot), slot, "save()");
  if (out.twice) refuse("save() writes a tag twice.");
  return out.fields;
}

void Device::load(const State& state) {
  if (!ops_.load) refuse(std::string("'") + type_->name + "' has no load().");
  nacre_state_reader in{state, type_->state_version};
  nacre_error slot;
  expect(ops_.load(self_, &in, &slot), slot, "load()");
}

}  // namespace nacre::fake
