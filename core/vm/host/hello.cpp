#include <cstring>

#include "core/base/error_slot.hpp"
#include "core/base/log.hpp"
#include "core/plugin/version.hpp"
#include "core/vm/host/services.hpp"

namespace nacre::services {
namespace {

struct Extension {
  const char* id;
  const void* table;
};

const Extension kExtensions[] = {
    {NACRE_EXT_LOG, &kLog},
    {NACRE_EXT_ERROR, &kError},
    {NACRE_EXT_PROPS, &kProps},
    {NACRE_EXT_MEMORY, &kMemory},
    {NACRE_EXT_IRQ, &kIrq},
    {NACRE_EXT_MMIO, &kMmio},
    {NACRE_EXT_VIRTIO, &kVirtio},
    {NACRE_EXT_LOOP, &kLoop},
    {NACRE_EXT_QMP, &kQmp},
    {NACRE_EXT_STATE, &kState},
    {NACRE_EXT_LIFECYCLE, &kLifecycle},
    {NACRE_EXT_BLOCK, &kBlock},
    {NACRE_EXT_CHARDEV, &kChardev},
    {NACRE_EXT_RNG, &kRng},
    {NACRE_EXT_BALLOON, &kBalloon},
    {NACRE_EXT_NET, &kNet},
    {NACRE_EXT_MACHINE, &kMachine},
    {NACRE_EXT_VCPU, &kVcpu},
    {NACRE_EXT_PCI, &kPci},
};

const void* get_extension(const char* id) noexcept {
  for (const Extension& extension : kExtensions)
    if (id && std::strcmp(id, extension.id) == 0) return extension.table;
  return nullptr;
}

nacre_host_hello make_hello() {
  nacre_host_hello hello{};
  hello.size = sizeof hello;
  hello.abi_major = NACRE_ABI_MAJOR;
  hello.abi_minor = NACRE_ABI_MINOR;
  hello.host_name = "nacre";
  hello.host_version = kHostVersion;
  std::memcpy(hello.build_id, kHostBuildId, sizeof hello.build_id);
  hello.get_extension = get_extension;
  return hello;
}

}  // namespace

const nacre_host_hello& hello() {
  static const nacre_host_hello kHello = make_hello();
  return kHello;
}

nacre_status finish(const Status& status, nacre_error* slot, nacre_status code) {
  if (status) return NACRE_OK;
  ErrorSlot::set(slot, status.error().message.c_str());
  return code;
}

void take_back(nacre_instance& instance) {
  // A root port is the host's own all along.
  const bool function = instance.pci_function() && !instance.pci_function()->is_port();
  size_t left = instance.regions.size() + instance.irqs.size() + (instance.virtio ? 1 : 0) + instance.pins +
                (instance.balloon ? 1 : 0) + (function ? 1 : 0);
  if (left) log::warn("plugin", "{} left {} resources behind; they are taken back.", instance.name(), left);
  while (!instance.regions.empty()) kMmio.release(instance.regions.back().get());
  while (!instance.irqs.empty()) kIrq.disconnect(instance.irqs.back().get());
  if (instance.virtio) kVirtio.detach(instance.virtio.get());
  while (instance.pins) kMemory.unpin(&instance);
  if (instance.balloon) kBalloon.detach(reinterpret_cast<nacre_balloon*>(&instance));
  instance.functions.clear();
  instance.powerdown = nullptr;
  kMemory.on_change(&instance, nullptr, nullptr);
  while (!instance.commands.empty()) forget_command(instance, instance.commands.back());
}

}  // namespace nacre::services
