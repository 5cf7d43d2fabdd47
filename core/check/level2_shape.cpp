// Level 2, shape: tables that hold, and optional services that really are optional.
#include <fmt/format.h>

#include <cstring>

#include "back_end.hpp"
#include "core/plugin/properties.hpp"
#include "core/sandbox/sandbox.hpp"
#include "test.hpp"

namespace nacre::check {
namespace {

// Makes and ends one of each device and back end; where it cannot be realized here, that it can be made is all that is
// asked.
void make_each(Subject& subject) {
  make_each_back_end(subject);
  for (const nacre_type* type : subject.devices()) {
    Device device(*type, subject);
    try {
      device.realize();
      device.unrealize();
    } catch (const Cannot&) {
    }
    device.destroy();
  }
}

void requires_what_it_uses(Subject& subject, const Options&, const std::string&) {
  subject.start();
  make_each(subject);
  const std::set<std::string> asked = fake::asked_for();
  for (const std::string& id : subject.manifest().requires_extensions)
    check(asked.contains(id),
          fmt::format("its note requires '{}', which it never asks for: leave it out of REQUIRES.", id));
}

void properties(Subject& subject, const Options&, const std::string&) {
  subject.start();
  for (const nacre_type* type : subject.types(0)) {
    std::set<std::string> names;
    for (const nacre_prop& prop : properties_of(*type)) {
      const std::string name = prop.name ? prop.name : "";
      const std::string of = fmt::format("property '{}' of '{}'", name, type->name);
      check(!name.empty() && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos,
            fmt::format("{}: a name has small letters, digits and hyphens.", of));
      check(names.insert(name).second, fmt::format("{} is in the table twice.", of));
      check(name != "id", fmt::format("{}: every device has an id already.", of));
      check(prop.help && *prop.help, fmt::format("{} has no help line.", of));
      check(prop.type >= NACRE_PROP_BOOL && prop.type <= NACRE_PROP_FD, fmt::format("{} has an unknown type.", of));
      check(prop.type != NACRE_PROP_ENUM || (prop.values && prop.values[0]), fmt::format("{} has no values.", of));
      check(prop.type != NACRE_PROP_NODE || prop.node_kind, fmt::format("{} names no kind of node.", of));
      check(!prop.max || prop.min <= prop.max, fmt::format("{}: its min is above its max.", of));
    }
    values_for(*type, subject.settings());
  }
}

void system_calls(Subject& subject, const Options&, const std::string&) {
  std::set<std::string> names;
  for (const std::string& name : subject.manifest().system_calls) {
    check(sandbox::number_of(name) >= 0,
          fmt::format("its note declares the system call '{}', and this machine has none of that name.", name));
    check(names.insert(name).second, fmt::format("its note declares the system call '{}' twice.", name));
  }
}

void without(Subject& subject, const Options&, const std::string& extension) {
  subject.start({extension});
  make_each(subject);
}

}  // namespace

void add_shape_tests(std::vector<Test>& tests, const Subject& subject) {
  tests.push_back(
      {2, "properties", "each property has a name, a type, a help line, and a default that it allows", properties, {}});
  tests.push_back({2, "requires", "each service that its note requires is asked for", requires_what_it_uses, {}});
  tests.push_back({2, "system_calls", "each system call that its note declares exists", system_calls, {}});
  for (const std::string& id : subject.manifest().optional_extensions)
    tests.push_back({2, "without:" + id, "it works on a host without that optional service", without, id});
}

}  // namespace nacre::check
