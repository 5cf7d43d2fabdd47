// The configuration space of a virtio device on PCI: identity and capabilities (virtio 1.2 §4.1.2, §4.1.4).
#pragma once

#include "core/virtio/pci_transport.hpp"

namespace nacre::virtio {

class PciTransport::Function : public pci::PciFunction {
 public:
  explicit Function(PciTransport& transport);

  Status build(uint32_t vectors);

  uint32_t read_config(uint32_t offset, uint32_t width) override;
  void write_config(uint32_t offset, uint32_t width, uint32_t value) override;
  void reset() override;
  void bar_moved(uint32_t index, std::optional<uint64_t> base) override;

 private:
  struct Window {
    const pci::Bar* bar;
    uint32_t offset, length;
  };

  uint32_t add_part(uint8_t type, uint32_t bytes, uint32_t part);
  std::optional<Window> window() const;
  bool touches_data(uint32_t offset, uint32_t width) const;

  PciTransport& transport_;
  uint32_t access_ = 0;  // where the PCI configuration access capability is
};

}  // namespace nacre::virtio
