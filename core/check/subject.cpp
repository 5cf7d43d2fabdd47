#include "subject.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "core/plugin/module.hpp"
#include "core/plugin/negotiate.hpp"
#include "core/plugin/properties.hpp"

namespace nacre::check {
namespace {

Fd open_file(const std::string& path, uint64_t& size) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) < 0)
    throw Cannot{fmt::format("cannot read '{}': {}.", path, std::strerror(errno))};
  if (!S_ISREG(status.st_mode)) throw Cannot{fmt::format("'{}' is not a regular file.", path)};
  size = static_cast<uint64_t>(status.st_size);
  return fd;
}

// A value that the table allows for a required property.
std::string make_up(const nacre_prop& prop, const std::string& type) {
  switch (prop.type) {
    case NACRE_PROP_BOOL:
      return "on";
    case NACRE_PROP_U64:
    case NACRE_PROP_SIZE:
      return std::to_string(std::max<uint64_t>(prop.min, 1));
    case NACRE_PROP_STRING:
      if (!prop.pattern) return std::string(std::max<uint64_t>(prop.min, 5), 'x');
      break;
    case NACRE_PROP_ENUM:
      if (prop.values && prop.values[0]) return prop.values[0];
      break;
    case NACRE_PROP_NODE:
      return "check0";
    case NACRE_PROP_MAC:
      return "52:54:00:00:00:01";
    case NACRE_PROP_PCI_ADDR:
      return "0x1";
  }
  throw Cannot{
      fmt::format("property '{}' of '{}' is required and no value can be made up for it: give one with --set "
                  "{}=VALUE.",
                  prop.name, type, prop.name)};
}

// The device of the same plugin whose bus this type stands on; NULL where it stands on one of the host's.
const nacre_type* parent_of(const nacre_type& type, const Subject& subject) {
  const std::set<std::string> of_the_host = {"virtio", "isa", "mmio", "pci"};
  if (!type.bus || of_the_host.contains(type.bus)) return nullptr;
  for (const nacre_type* other : subject.devices())
    if (other->bus && of_the_host.contains(other->bus)) return other;
  return nullptr;
}

}  // namespace

void check(bool holds, const std::string& sentence) {
  if (!holds) throw Failed{sentence};
}

void check_done(nacre_status status, const nacre_error& slot, const std::string& what) {
  check(status == NACRE_OK, fmt::format("{}: {}", what, slot.text[0] ? slot.text : "(it gives no words)"));
}

Subject::Subject(std::string path, Settings settings) : path_(std::move(path)), settings_(std::move(settings)) {
  uint64_t size = 0;
  Fd fd = open_file(path_, size);
  Result<PluginNote> note = read_plugin_note(fd.get(), size, path_);
  if (!note) throw Failed{note.error().message};
  Result<Manifest> manifest = parse_manifest(*note, path_);
  if (!manifest) throw Failed{manifest.error().message};
  manifest_ = std::move(*manifest);
}

const nacre_plugin& Subject::map(const std::set<std::string>& without) {
  if (manifest_.tier == NACRE_TIER_LOCKED)
    throw Cannot{fmt::format("{} is of tier locked: it works with one build of the VMM only, not with a fake host.",
                             manifest_.title())};
  const nacre_host_hello* hello = fake::hello(without);
  if (Status negotiated = negotiate(manifest_, HostVersion(*hello)); !negotiated)
    throw Failed{negotiated.error().message};
  fake::forget_questions();  // those of the negotiation are not the plugin's
  uint64_t size = 0;
  Fd fd = open_file(path_, size);
  Result<const nacre_plugin*> mapped = map_plugin(std::move(fd), size, path_, manifest_, hello);
  if (!mapped) throw Failed{mapped.error().message};
  plugin_ = *mapped;
  return *plugin_;
}

const nacre_plugin& Subject::start(const std::set<std::string>& without) {
  const nacre_plugin& plugin = map(without);
  if (Status initialised = initialise_plugin(plugin); !initialised)
    throw Failed{fmt::format("{} refused to start: {}", manifest_.title(), initialised.error().message)};
  return plugin;
}

std::vector<const nacre_type*> Subject::types(uint32_t kind) const {
  std::vector<const nacre_type*> found;
  for (uint32_t i = 0; i < plugin_->n_types; ++i)
    if (const uint32_t own = plugin_->types[i]->kind; kind ? own == kind : own != NACRE_KIND_MACHINE)
      found.push_back(plugin_->types[i]);
  return found;
}

std::map<std::string, fake::Value> values_for(const nacre_type& type, const Settings& settings, bool vacant) {
  const std::vector<nacre_prop> table = properties_of(type);
  PropertyValues::Given given;
  for (const auto& [name, value] : settings)
    for (const nacre_prop& prop : table)
      if (name == prop.name && !(vacant && is_back_end(prop))) given.emplace_back(name, value);
  for (const nacre_prop& prop : table) {
    const bool set = std::any_of(given.begin(), given.end(), [&](auto& one) { return one.first == prop.name; });
    if (prop.flags & NACRE_PROP_REQUIRED && !set && !prop.default_text && !(vacant && is_back_end(prop)))
      given.emplace_back(prop.name, make_up(prop, type.name));
  }
  Result<PropertyValues> parsed = PropertyValues::parse(type, given, vacant);
  if (!parsed)
    throw Failed{fmt::format("the property table of '{}' does not hold: {}", type.name, parsed.error().message)};
  std::map<std::string, fake::Value> values;
  for (const nacre_prop& prop : table) {
    fake::Value value{prop.type, 0, {}};
    bool flag = false;
    if (prop.type == NACRE_PROP_BOOL) {
      if (parsed->get_bool(prop.name, flag) != NACRE_OK) continue;
      value.number = flag;
    } else if (const char* text = parsed->text(prop.name)) {
      value.text = text;
      (void)parsed->get_u64(prop.name, value.number);
    } else {
      continue;
    }
    values[prop.name] = value;
  }
  return values;
}

Device::Device(const nacre_type& type, const Subject& subject, bool vacant) : type_(type) {
  if (const nacre_type* parent = parent_of(type, subject)) {
    parent_ = std::make_unique<Device>(*parent, subject);
    parent_->realize();
  }
  const auto* ops = static_cast<const nacre_device_ops*>(type.ops);
  check(ops && ops->create && ops->realize && ops->unrealize && ops->destroy,
        fmt::format("'{}' lacks create, realize, unrealize or destroy.", type.name));
  std::memcpy(&ops_, ops, std::min<size_t>(ops->size, sizeof ops_));
  instance_ = std::make_unique<nacre_instance>(memory_, loop_, "check");
  instance_->properties.merge(values_for(type, subject.settings(), vacant));
  nacre_error slot;
  const nacre_status made = ops_.create(instance_.get(), &self_, &slot);
  if (made != NACRE_OK) self_ = nullptr;
  check(made == NACRE_OK,
        fmt::format("create() of '{}' fails: {}", type.name, slot.text[0] ? slot.text : "(no words)"));
}

// After a failure the process ends: the plugin is not called any more.
Device::~Device() = default;

void Device::realize() {
  nacre_error slot;
  const nacre_status done = ops_.realize(self_, &slot);
  if (done == NACRE_OK) {
    realized_ = true;
    return;
  }
  check(slot.text[0], fmt::format("realize() of '{}' fails with status {} and gives no words.", type_.name, done));
  check(done != NACRE_PLUGIN_EXCEPTION, fmt::format("realize() of '{}' threw: {}", type_.name, slot.text));
  check_gave_back("after a failed realize()");
  throw Cannot{fmt::format("'{}' cannot be realized here: {}", type_.name, slot.text)};
}

void Device::unrealize() {
  ops_.unrealize(self_);
  realized_ = false;
  loop_.drop_posts();
  check_gave_back("after unrealize()");
}

void Device::destroy() {
  loop_.drop_posts();
  ops_.destroy(self_);
  self_ = nullptr;
  loop_.drop_posts();
  loop_.settle();
  check_gave_back("after destroy()");
  check(memory_.canaries_alive(), fmt::format("'{}' wrote outside guest memory, next to it.", type_.name));
  if (!parent_) return;
  parent_->unrealize();
  parent_->destroy();
}

void Device::quiesce() {
  if (!ops_.quiesce) return;
  bool done = false;
  ops_.quiesce(
      self_, [](void* opaque) noexcept { *static_cast<bool*>(opaque) = true; }, &done);
  check(loop_.run_until([&] { return done; }, std::chrono::seconds(2)),
        fmt::format("quiesce() of '{}' was not done within 2 s.", type_.name));
}

void Device::resume() {
  if (ops_.resume) ops_.resume(self_);
}

void Device::reset() {
  if (ops_.reset && !instance_->virtio) ops_.reset(self_);
  if (instance_->pci) instance_->pci->reset_config();
}

void Device::check_gave_back(const std::string& when) {
  const std::string held = instance_->held();
  check(held.empty(),
        fmt::format("'{}' still holds {} {}: it must give back what realize() took.", type_.name, held, when));
  check(loop_.watches() == 0 && loop_.timers() == 0, fmt::format("'{}' left {} watches and {} timers on its loop {}.",
                                                                 type_.name, loop_.watches(), loop_.timers(), when));
  check(memory_.views() == 0,
        fmt::format("'{}' still holds {} views of guest memory {}.", type_.name, memory_.views(), when));
}

}  // namespace nacre::check
