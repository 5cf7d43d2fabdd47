// A back end that a plugin provides: made of its driver's name and its properties, as a device is.
#pragma once

#include <nacre/abi/block_driver.h>
#include <nacre/abi/chardev_driver.h>
#include <nacre/abi/net_driver.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error_slot.hpp"
#include "core/plugin/breadcrumb.hpp"
#include "core/vm/instance.hpp"

namespace nacre {

class BlockDriver;
class Chardev;
class NetBackend;
struct BlockOptions;
struct NetOptions;

// What a user says about one.
struct PluginBackEndOptions {
  uint32_t kind;  // NACRE_KIND_BLOCK, _NET or _CHARDEV
  std::string id, driver;
  PropertyValues::Given properties;
};

// The names of those that need no plugin, as the command line has them; none for another kind.
std::vector<std::string> built_in_back_ends(uint32_t kind);

// Each makes one, on the main thread. Fails with a sentence: for a driver that there is not, with the nearest name
// among those built in and those of plugins; for wrong properties; or with the words of the plugin.
Result<std::unique_ptr<BlockDriver>> open_plugin_block(VirtualMachine& vm, const BlockOptions& options);
Result<std::unique_ptr<Chardev>> open_plugin_chardev(VirtualMachine& vm, const PluginBackEndOptions& options);
Result<std::unique_ptr<NetBackend>> open_plugin_net(VirtualMachine& vm, const NetOptions& options);

// The plugin's side of a back end, without its functions. Main thread only.
class PluginInstance {
 public:
  PluginInstance() = default;
  ~PluginInstance();
  PluginInstance(const PluginInstance&) = delete;
  PluginInstance& operator=(const PluginInstance&) = delete;

  // Finds the driver's type and checks the properties; nothing of the plugin is called but its init().
  Status prepare(VirtualMachine& vm, const PluginBackEndOptions& options);
  nacre_instance& operator*() const { return *instance_; }
  nacre_instance* operator->() const { return instance_.get(); }
  explicit operator bool() const { return bool(instance_); }
  // The outcome of a call that can fail.
  Status outcome(const char* function, nacre_status code, const ErrorSlot& slot) const;

 private:
  std::unique_ptr<nacre_instance> instance_;
};

// Whether a table has all that may not be NULL.
inline bool is_complete(const nacre_block_driver_ops& ops) {
  return ops.create && ops.destroy && ops.open && ops.close && ops.info && ops.submit;
}
inline bool is_complete(const nacre_chardev_driver_ops& ops) {
  return ops.create && ops.destroy && ops.open && ops.close && ops.read && ops.write;
}
inline bool is_complete(const nacre_net_driver_ops& ops) {
  return ops.create && ops.destroy && ops.open && ops.close && ops.info && ops.fd && ops.receive && ops.send;
}

// The same with its functions, which are those of the table `Ops`.
template <typename Ops>
class PluginBackEnd {
 public:
  PluginBackEnd() = default;
  ~PluginBackEnd() {
    if (!made_) return;
    Breadcrumb crumb = enter("destroy");
    ops_.destroy(instance_->self);
  }

  Status make(VirtualMachine& vm, const PluginBackEndOptions& options) {
    if (Status prepared = instance_.prepare(vm, options); !prepared) return prepared;
    if (const auto* table = static_cast<const Ops*>(instance_->type->ops))
      std::memcpy(&ops_, table, std::min<size_t>(table->size, sizeof ops_));
    if (!is_complete(ops_))
      return fail("{}: plugin '{}' lacks functions that its kind must have; that is a defect of it.", instance_->name(),
                  instance_->plugin_id);
    ErrorSlot slot;
    Breadcrumb crumb = enter("create");
    const nacre_status code = ops_.create(&*instance_, &instance_->self, slot.handle());
    made_ = code == NACRE_OK;
    return instance_.outcome("create", code, slot);
  }
  // [loop of the device] Gives it to a device; `call` is the plugin's open().
  template <typename Call>
  Status open(EventLoop& loop, Call call) {
    instance_->loop = &loop;
    ErrorSlot slot;
    Breadcrumb crumb = enter("open");
    return instance_.outcome("open", call(slot.handle()), slot);
  }

  const Ops& ops() const { return ops_; }
  void* self() const { return instance_->self; }
  // Around every call.
  Breadcrumb enter(const char* function) const { return {instance_->plugin_id, instance_->id, function}; }

 private:
  PluginInstance instance_;
  Ops ops_{};
  bool made_ = false;
};

}  // namespace nacre
