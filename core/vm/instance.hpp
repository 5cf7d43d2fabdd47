// What the handle `nacre_instance` of the plugin contract stands for: one device, one back end, or the machine.
#pragma once

#include <nacre/abi/block.h>
#include <nacre/abi/entry.h>
#include <nacre/abi/machine.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/mutex.hpp"
#include "core/bus/address_space.hpp"
#include "core/loop/event_loop.hpp"
#include "core/plugin/properties.hpp"
#include "core/virtio/pci_transport.hpp"
#include "core/virtio/virtio_device.hpp"

namespace nacre {
class VirtualMachine;
}

// Handles that a device holds. The host keeps them so that it can take back what a device leaves behind.
struct nacre_irq {
  nacre_instance* instance;
  uint32_t gsi;
  nacre::Fd fd;
};

struct nacre_mmio_region {
  nacre_instance* instance;
  nacre::AddressSpace* space;
  nacre::BusRegion* region;
  std::optional<uint32_t> memslot{};  // where the guest reads memory of the plugin
  bool mapped = false;
};

struct nacre_virtio {
  nacre_instance* instance;
  std::unique_ptr<nacre::virtio::VirtioDevice> device;
};

struct nacre_instance {
  nacre::VirtualMachine& vm;
  const nacre_type* type;
  std::string id;  // the user's, or one made by the host
  std::string plugin_id;
  nacre::PropertyValues properties;
  nacre::EventLoop* loop = nullptr;
  void* self = nullptr;  // the plugin's

  std::vector<std::unique_ptr<nacre_irq>> irqs;
  std::vector<std::unique_ptr<nacre_mmio_region>> regions;
  std::unique_ptr<nacre_virtio> virtio;
  std::vector<nacre_block*> disks;                 // that it has open
  std::function<void()> powerdown;                 // the power button, see lifecycle.h
  std::vector<uint64_t> memory_subscriptions;      // of GuestMemory::subscribe
  std::vector<std::string> commands;               // QMP commands that it has added
  std::map<std::string, std::string> place_words;  // what the user says about its place: bus, addr, lun
  // Descriptors that QMP getfd has passed, as properties name them; each is the device's when it has asked for it.
  struct Passed {
    std::string property;
    std::string name;
    nacre::Fd fd;
  };
  std::vector<Passed> passed;
  // What it posts to its loop.
  struct Posting {
    nacre::Mutex mutex;
    bool ended NACRE_GUARDED_BY(mutex) = false;
  };
  std::unique_ptr<Posting> posting = std::make_unique<Posting>();
  uint32_t pins = 0;     // of guest memory, see memory.h
  bool balloon = false;  // it is the machine's balloon
  std::string driver;    // as the user named it, when that is not the type's name: virtio-blk-pci
  bool on_pci = false;   // what that name asks for
  std::unique_ptr<nacre::virtio::PciTransport> pci;  // while it is placed there
  // Of a device that is on PCI by itself: one; of a machine: those that it has not placed yet.
  std::vector<std::unique_ptr<nacre::pci::PciFunction>> functions;
  nacre_placement placement{};
  bool placed = false;
  bool leaving = false;  // it goes when its requests at the host have ended

  // What a guest sees of it on PCI, or NULL.
  nacre::pci::PciFunction* pci_function() const {
    if (pci) return &pci->function();
    return functions.empty() ? nullptr : functions.front().get();
  }

  // In words: "device 'disk1' (virtio-blk-device)".
  std::string name() const {
    const char* what = type->kind == NACRE_KIND_BLOCK     ? "drive"
                       : type->kind == NACRE_KIND_NET     ? "netdev"
                       : type->kind == NACRE_KIND_CHARDEV ? "chardev"
                                                          : "device";
    return std::string(what) + " '" + id + "' (" + (driver.empty() ? type->name : driver) + ")";
  }
};
