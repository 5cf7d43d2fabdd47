// Devices that come and go below PCI Express ports and in the slots of microvm, in any order, with guests that answer,
// refuse, or do something else meanwhile.
#include "machines/microvm/slots.hpp"
#include "tests/fuzz/pci_bench.hpp"

namespace nacre::fuzz {
namespace {

using namespace pci;

class Bench : public PciBench {
 public:
  explicit Bench(bool fast) {
    for (uint8_t i = 0; i < 2; ++i) {
      Slot& slot = slots_[i];
      slot.port = std::move(*RootPort::create("pcie." + std::to_string(i + 1), "the port",
                                              {0x1b36, 0xc, 0, static_cast<uint8_t>(i + 1), fast}, *host_));
      slot.port->on_power_off([&slot] { slot.off = true; });
      host_->plug(host_->root(), static_cast<uint8_t>((i + 1) << 3), *slot.port);
      express_ = slot.port->config().find_capability(0x10);
    }
  }
  ~Bench() override {
    for (Slot& slot : slots_) {
      take_out(slot);
      host_->unplug(*slot.port);
    }
  }

  void run(Input& input) {
    for (int step = 0; step < 100 && !input.empty(); ++step) {
      const uint8_t which = input.number<uint8_t>();
      Slot& slot = slots_[which & 1];
      const uint32_t port = ((which & 1) + 1u) << 3;
      switch (which >> 1 & 7) {
        case 0:  // device_add
          if (slot.device) break;
          if (Status may = host_->change([&] { return slot.port->may_plug(); }); !may) {
            require_sentence(may.error().message);
            break;
          }
          put_in(slot, which & 16);
          break;
        case 1: {  // device_del
          if (!slot.device) break;
          if (which & 16) {  // by force
            host_->change([&] { slot.port->surprise(); });
            take_out(slot);
            break;
          }
          auto asked = host_->change([&] { return slot.port->request_unplug(); });
          if (!asked) require_sentence(asked.error().message);
          if (asked && *asked == RootPort::Asked::Off) take_out(slot);
          break;
        }
        case 2:  // the guest's driver
          write(0, port, express_ + 0x18, 2, input.number<uint16_t>());
          break;
        case 3:
          write(0, port, express_ + 0x1a, 2, input.number<uint16_t>());
          break;
        case 4:
          write(0, port, kPrimaryBus, 4, ((which & 1) + 1u) * 0x010100u);
          write(0, port, kCommand, 2, kMemoryDecode | kIoDecode | kBusMaster);
          write(0, port, kMemoryBase, 4, 0xcff0c000);
          write((which & 1) + 1u, 0, kBar0, 4, kMemory + (uint64_t{input.number<uint8_t>()} << 12));
          write((which & 1) + 1u, 0, kCommand, 2, kMemoryDecode | kIoDecode | kBusMaster);
          break;
        case 5:
          configure(input);
          break;
        case 6:
          access(input);
          break;
        case 7:
          if (which & 16) {
            host_->reset();
            serve_posts();
          }
          if (slot.device && slot.device->msix()) slot.device->msix()->notify(0);
          break;
      }
      // What the host does as soon as it has its turn.
      for (Slot& each : slots_)
        if (std::exchange(each.off, false)) take_out(each);
    }
    for (Slot& slot : slots_) {
      require_sound(*slot.port, 0x1b36);
      if (slot.device) require_sound(*slot.device, 0x1af4);
    }
    // Whatever the guest has done, a reset frees a slot whose device is to go.
    for (Slot& slot : slots_) {
      if (!slot.device) continue;
      auto asked = host_->change([&] { return slot.port->request_unplug(); });
      host_->reset();
      if (std::exchange(slot.off, false)) take_out(slot);
      if (asked && *asked == RootPort::Asked::Asked) require(!slot.device, "a reset ends what was asked for");
    }
  }

 private:
  struct Slot {
    std::unique_ptr<RootPort> port;
    std::unique_ptr<PciFunction> device;
    bool off = false;
  };
  void put_in(Slot& slot, bool hot) {
    slot.device = std::make_unique<PciFunction>("device 'd'", Identity{0x1af4, 0x1042, 1, 0x010000});
    const bool made = slot.device->add_bar(0, BarKind::Memory32, false, 0x1000, Cell::kOps, &cell_) &&
                      slot.device->add_msix(2, 1, &listener_);
    require(made, "the function can be made");
    slot.device->add_intx();
    host_->plug(*slot.port->secondary(), 0, *slot.device, hot);
  }
  void take_out(Slot& slot) {
    if (!slot.device) return;
    host_->unplug(*slot.device);
    slot.device.reset();
  }

  Slot slots_[2];
  uint32_t express_ = 0;
  Cell cell_;
};

// The microvm's slots: no two devices in one, and each that goes leaves its place.
void run_microvm(Input& input) {
  using namespace microvm;
  Slots slots;
  for (uint32_t slot = 0; slot < kReplaceableSlots; ++slot) slots.offer(slot);
  std::map<uint32_t, nacre_placement> taken;
  for (int step = 0; step < 100 && !input.empty(); ++step) {
    static constexpr const char* kDrivers[] = {kDiskDriver, kNicDriver, "virtio-rng-device", "isa-serial"};
    static constexpr const char* kBuses[] = {"virtio", "virtio", "virtio", "isa", "pci", "mmio"};
    static constexpr uint32_t kIds[] = {2, 1, 4, 0};
    const uint8_t how = input.number<uint8_t>();
    if (how & 1 && !taken.empty()) {
      auto leaving = std::next(taken.begin(), input.below(static_cast<uint32_t>(taken.size())));
      slots.displace(leaving->second);
      taken.erase(leaving);
      continue;
    }
    const std::string addr = how & 2 ? input.text(input.below(6)) : "", lun = how & 4 ? input.text(input.below(6)) : "";
    const uint32_t kind = how >> 3 & 3;
    nacre_device_desc device{};
    device.size = sizeof device;
    device.virtio_device_id = kIds[kind];
    device.driver = kDrivers[kind];
    device.id = device.backend = "d";
    device.bus = kBuses[input.below(6)];
    device.addr = how & 2 ? addr.c_str() : nullptr;
    device.lun = how & 4 ? lun.c_str() : nullptr;
    device.hot = how >> 5 & 1;
    nacre_placement placement{};
    if (sdk::Status placed = slots.place(device, placement); !placed) {
      require_sentence(placed.error().message);
    } else if (placement.kind == NACRE_PLACE_VIRTIO_MMIO) {
      require(placement.slot < kSlots && slots.shown(placement.slot), "a placed device has a slot");
      require(taken.emplace(placement.slot, placement).second, "no two devices have one slot");
    }
  }
  (void)slots.command_line();
}

}  // namespace
}  // namespace nacre::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  nacre::fuzz::Input input(data, size);
  const uint8_t how = input.number<uint8_t>();
  if (how & 1)
    nacre::fuzz::run_microvm(input);
  else
    nacre::fuzz::Bench(how & 2).run(input);
  return 0;
}
