// A device on a PCI bus as a class: derive from PciDevice, say in realize() what the function has.
#pragma once

#include <array>
#include <nacre/plugin.hpp>
#include <span>
#include <utility>

namespace nacre::sdk {

// Its bus is "pci" in device_type(). Everything is gone when unrealize() or the destructor has run. A class that
// works on a loop or a thread too overrides unrealize(): it ends that work, then calls detach(), then gives back what
// read_bar(), write_bar() and config_written() use.
class PciDevice : public Device {
 public:
  using Device::Device;
  ~PciDevice() override { detach(); }

  void unrealize() override { detach(); }

  // [vcpu] The guest's accesses to the BARs that bar() has made: `width` is 1, 2, 4 or 8 and the access lies inside.
  // Several come at once. See <nacre/abi/mmio.h>.
  virtual uint64_t read_bar(uint32_t /*bar*/, uint64_t /*offset*/, uint32_t /*width*/) { return 0; }
  virtual void write_bar(uint32_t /*bar*/, uint64_t /*offset*/, uint32_t /*width*/, uint64_t /*value*/) {}
  // [vcpu, one at a time; after a reset: main, vcpu] The guest has written [offset, offset + width) of the
  // configuration, all 4096 bytes of which are `config`.
  virtual void config_written(std::span<const uint8_t> /*config*/, uint32_t /*offset*/, uint32_t /*width*/) {}

 protected:
  // What follows is for realize(). What cannot be is an error with the host's words.
  //
  // The function itself: fill in what <nacre/abi/pci.h> has for it; size and ops are set here.
  Status attach(nacre_pci_desc desc, nacre_error* slot) {
    static constexpr nacre_pci_ops kOps{sizeof(nacre_pci_ops), 0, on_config_written};
    desc.size = sizeof desc;
    desc.ops = &kOps;
    return wrap(slot, [&](nacre_error* error) { return host.pci->attach(instance(), &desc, this, &pci_, error); });
  }
  // BAR `index` of `kind` (NACRE_PCI_BAR_*) with `length` bytes, answered by read_bar() and write_bar().
  Status bar(uint32_t index, uint32_t kind, uint64_t length, nacre_error* slot, uint32_t flags = 0) {
    static constexpr nacre_mmio_ops kOps{sizeof(nacre_mmio_ops), 0, on_read, on_write};
    Bar& own = bars_[index % bars_.size()];
    own = {this, index};
    const nacre_pci_bar bar{sizeof bar, index, kind, flags, length, &kOps, &own};
    return wrap(slot, [&](nacre_error* error) { return host.pci->bar(pci_, &bar, error); });
  }
  // Memory behind a part of a BAR, which the guest reaches without a call: `length` bytes of `fd` from `fd_offset` on,
  // multiples of 4096. The descriptor stays the caller's, who may close it at once.
  Status bar_memory(uint32_t bar, uint64_t offset, uint64_t length, int fd, uint64_t fd_offset, nacre_error* slot,
                    uint32_t flags = 0) {
    const nacre_pci_memory memory{sizeof memory, bar, offset, length, fd, flags, fd_offset};
    return wrap(slot, [&](nacre_error* error) { return host.pci->bar_memory(pci_, &memory, error); });
  }
  // The eventfd, the host's, that a guest's write of `width` bytes there signals instead of calling write_bar().
  Result<int> bar_event(uint32_t bar, uint64_t offset, uint32_t width, nacre_error* slot) {
    int32_t fd = -1;
    Status made =
        wrap(slot, [&](nacre_error* error) { return host.pci->bar_event(pci_, bar, offset, width, 0, 0, &fd, error); });
    if (!made) return made.error();
    return fd;
  }
  // A capability with its header's bytes first in `content`; `writable` is as long, or empty. Returns its offset.
  Result<uint32_t> capability(uint32_t kind, uint32_t id, std::span<const uint8_t> content,
                              std::span<const uint8_t> writable, nacre_error* slot) {
    nacre_pci_capability wanted{};
    wanted.size = sizeof wanted;
    wanted.kind = kind;
    wanted.id = id;
    wanted.version = 1;
    wanted.length = static_cast<uint32_t>(content.size());
    wanted.content = content.data();
    wanted.writable = writable.size() == content.size() ? writable.data() : nullptr;
    uint32_t offset = 0;
    Status made = wrap(slot, [&](nacre_error* error) { return host.pci->capability(pci_, &wanted, &offset, error); });
    if (!made) return made.error();
    return offset;
  }
  // MSI-X, with its table in a BAR that it has alone.
  Status msix(uint32_t bar, uint32_t vectors, nacre_error* slot) {
    return wrap(slot, [&](nacre_error* error) { return host.pci->msix(pci_, bar, vectors, error); });
  }
  // An eventfd, the host's, that sends the vector's message.
  Result<int> vector_fd(uint32_t vector, nacre_error* slot) {
    int32_t fd = -1;
    Status made = wrap(slot, [&](nacre_error* error) { return host.pci->vector_fd(pci_, vector, &fd, error); });
    if (!made) return made.error();
    return fd;
  }

  // Any thread, between attach() and detach().
  void notify(uint32_t vector) { host.pci->notify(pci_, vector); }
  void set_intx(bool level) { host.pci->set_intx(pci_, level); }
  // May it touch guest memory? A guest may forbid it at any moment.
  bool bus_master() const { return host.pci->state(pci_) & NACRE_PCI_BUS_MASTER; }
  bool msix_on() const { return host.pci->state(pci_) & NACRE_PCI_MSIX_ON; }

  nacre_pci* pci() const { return pci_; }
  // [main] No call of the guest's is running or will come when it has returned.
  void detach() {
    if (pci_) host.pci->detach(std::exchange(pci_, nullptr));
  }

 private:
  struct Bar {
    PciDevice* device;
    uint32_t index;
  };
  template <typename Call>
  static Status wrap(nacre_error* slot, Call call) {
    return ErrorSlot::wrap(slot, "the host takes no such PCI function", call);
  }
  static uint64_t on_read(void* bar, uint64_t offset, uint32_t width) noexcept {
    const auto& own = *static_cast<Bar*>(bar);
    return own.device->read_bar(own.index, offset, width);
  }
  static void on_write(void* bar, uint64_t offset, uint32_t width, uint64_t value) noexcept {
    const auto& own = *static_cast<Bar*>(bar);
    own.device->write_bar(own.index, offset, width, value);
  }
  static void on_config_written(void* self, const uint8_t* config, uint32_t offset, uint32_t width) noexcept {
    static_cast<PciDevice*>(self)->config_written({config, 4096}, offset, width);
  }

  nacre_pci* pci_ = nullptr;
  std::array<Bar, 6> bars_{};
};

}  // namespace nacre::sdk
