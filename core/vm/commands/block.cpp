// blockdev-add and blockdev-del.
#include "core/vm/commands/commands.hpp"
#include "core/vm/commands/properties.hpp"

namespace nacre::commands {
namespace json = boost::json;
namespace {

const json::value* find(const json::object& object, std::string_view name) {
  auto found = object.find(name);
  return found == object.end() ? nullptr : &found->value();
}

std::string text(const json::object& object, std::string_view name) {
  const json::value* value = find(object, name);
  return value ? std::string(value->as_string()) : "";
}

}  // namespace

bool is_plugin_blockdev(const json::object& arguments) {
  const json::value* driver = arguments.if_contains("driver");
  if (!driver || !driver->is_string()) return false;
  for (const char* format : {"raw", "qcow2", "file", "host_device"})
    if (std::string_view(driver->get_string()) == format) return false;
  return true;
}

// In the types of the declaration; l2-cache-size and the like have no meaning for a raw image and are passed over.
Answer blockdev_add(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  BlockOptions options;
  options.id = text(arguments, "node-name");
  if (const json::value* readonly = find(arguments, "read-only")) options.readonly = readonly->as_bool();
  if (const json::value* iops = find(arguments, "throttling.iops-total")) {
    if (!iops->is_int64() || iops->as_int64() < 0)
      return fail("the argument 'throttling.iops-total' of 'blockdev-add' must be 0 to {}.", BlockOptions::kMaxIops);
    options.iops_total = static_cast<uint64_t>(iops->as_int64());
  }
  if (is_plugin_blockdev(arguments)) {
    options.driver = text(arguments, "driver");
    Result<PropertyValues::Given> given =
        properties_in("blockdev-add", arguments, {"node-name", "driver", "read-only", "throttling.iops-total"});
    if (!given) return given.error();
    options.properties = std::move(*given);
    if (Status added = vm.disks().add(options); !added) return added.error();
    return json::object();
  }
  const json::object& file = arguments.at("file").as_object();
  options.file = text(file, "filename");
  if (const json::value* cache = find(arguments, "cache"))
    if (const json::value* direct = find(cache->as_object(), "direct")) options.direct = direct->as_bool();
  if (std::string driver = text(arguments, "driver"); !driver.empty() && driver != "raw")
    return fail("the argument 'driver' of 'blockdev-add' cannot be '{}': images here are raw.", driver);
  if (std::string aio = text(file, "aio"); !aio.empty()) {
    // QMP spells it without the underscore, the command line with it.
    Result<BlockAio> parsed = parse_block_aio(aio == "iouring" ? "io_uring" : aio);
    if (!parsed) return parsed.error();
    options.aio = *parsed;
  }
  if (std::string word = text(arguments, "discard"); !word.empty()) {
    Result<bool> parsed = parse_block_discard(word);
    if (!parsed) return parsed.error();
    options.discard = *parsed;
  }
  if (std::string word = text(arguments, "detect-zeroes"); !word.empty()) {
    Result<DetectZeroes> parsed = parse_detect_zeroes(word);
    if (!parsed) return parsed.error();
    options.detect_zeroes = *parsed;
  }
  if (Status fits = options.check(); !fits) return fits.error();
  if (Status added = vm.disks().add(options); !added) return added.error();
  return json::object();
}

Answer blockdev_del(VirtualMachine& vm, const json::object& arguments, qmp::Context&) {
  Status removed = vm.disks().remove(std::string(arguments.at("node-name").as_string()));
  if (!removed) return removed.error();
  return json::object();
}

}  // namespace nacre::commands
