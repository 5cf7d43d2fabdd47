// The host's services, each a typed table, fetched once when the plugin is entered.
#pragma once

#include <nacre/abi/registry.h>

namespace nacre::sdk {

// NULL where the host does not offer a service. What the plugin's note `requires` is never NULL.
struct Host {
  const nacre_host_hello* hello = nullptr;
  const nacre_log_v1* log = nullptr;
  const nacre_error_v1* error = nullptr;
  const nacre_props_v1* props = nullptr;
  const nacre_memory_v1* memory = nullptr;
  const nacre_irq_v1* irq = nullptr;
  const nacre_mmio_v1* mmio = nullptr;
  const nacre_virtio_v1* virtio = nullptr;
  const nacre_loop_v1* loop = nullptr;
  const nacre_qmp_v1* qmp = nullptr;
  const nacre_state_v1* state = nullptr;
  const nacre_lifecycle_v1* lifecycle = nullptr;
  const nacre_block_v1* block = nullptr;
  const nacre_chardev_v1* chardev = nullptr;
  const nacre_rng_v1* rng = nullptr;
  const nacre_balloon_v1* balloon = nullptr;
  const nacre_net_v1* net = nullptr;
  const nacre_machine_v1* machine = nullptr;
  const nacre_vcpu_v1* vcpu = nullptr;
  const nacre_pci_v1* pci = nullptr;

  void connect(const nacre_host_hello* from) {
    hello = from;
    fetch(log, NACRE_EXT_LOG);
    fetch(error, NACRE_EXT_ERROR);
    fetch(props, NACRE_EXT_PROPS);
    fetch(memory, NACRE_EXT_MEMORY);
    fetch(irq, NACRE_EXT_IRQ);
    fetch(mmio, NACRE_EXT_MMIO);
    fetch(virtio, NACRE_EXT_VIRTIO);
    fetch(loop, NACRE_EXT_LOOP);
    fetch(qmp, NACRE_EXT_QMP);
    fetch(state, NACRE_EXT_STATE);
    fetch(lifecycle, NACRE_EXT_LIFECYCLE);
    fetch(block, NACRE_EXT_BLOCK);
    fetch(chardev, NACRE_EXT_CHARDEV);
    fetch(rng, NACRE_EXT_RNG);
    fetch(balloon, NACRE_EXT_BALLOON);
    fetch(net, NACRE_EXT_NET);
    fetch(machine, NACRE_EXT_MACHINE);
    fetch(vcpu, NACRE_EXT_VCPU);
    fetch(pci, NACRE_EXT_PCI);
  }

 private:
  template <typename Table>
  void fetch(const Table*& table, const char* id) {
    table = static_cast<const Table*>(hello->get_extension(id));
  }
};

// One a plugin: the version script keeps it out of the sight of others.
inline Host host;

}  // namespace nacre::sdk
