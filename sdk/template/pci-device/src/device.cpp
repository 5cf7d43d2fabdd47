// A PCI device with three registers in BAR 0: an identity at offset 0; at 8 a number that goes up by one with each read
// and takes what is written; at 16 a doorbell: what is written there comes back as an interrupt, and reading it tells
// how often it has rung and ends the interrupt. It may come and go while the guest runs, below a root port.
#include <atomic>
#include <nacre/pci_device.hpp>

namespace {

using namespace nacre::sdk;

enum : uint64_t { kIdentity = 0, kCounter = 8, kDoorbell = 16, kLength = 4096 };
enum : uint32_t { kRegistersBar = 0, kMsixBar = 2, kVectors = 1 };
constexpr uint64_t kWhoAmI = 0x6572636e;  // "ncre"

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_U64, .name = "first", .help = "what the counter begins with", .max = UINT32_MAX},
};

class @Class@ : public PciDevice {
 public:
  using PciDevice::PciDevice;

  Status realize(nacre_error* slot) override {
    nacre_pci_desc desc{};
    desc.flags = NACRE_PCI_EXPRESS;
    desc.vendor_id = 0x1234;  // of nobody: yours goes here
    desc.device_id = 0x0001;
    desc.class_code = 0xff0000;  // none of those that have a name
    desc.interrupt_pin = 1;
    Status made = attach(desc, slot);
    if (made) made = bar(kRegistersBar, NACRE_PCI_BAR_MEMORY32, kLength, slot);
    if (made) made = msix(kMsixBar, kVectors, slot);
    reset();
    return made;
  }
  void reset() override {
    counter_ = static_cast<uint32_t>(u64("first").value_or(0));
    rung_ = 0;
  }

  // Several virtual CPUs may be in here at once.
  uint64_t read_bar(uint32_t, uint64_t offset, uint32_t) override {
    if (offset == kIdentity) return kWhoAmI;
    if (offset == kCounter) return counter_++;
    if (offset != kDoorbell) return 0;
    set_intx(false);
    return rung_.exchange(0);
  }
  void write_bar(uint32_t, uint64_t offset, uint32_t, uint64_t value) override {
    if (offset == kCounter) counter_ = static_cast<uint32_t>(value);
    if (offset != kDoorbell) return;
    ++rung_;
    msix_on() ? notify(0) : set_intx(true);
  }

 private:
  std::atomic<uint32_t> counter_ = 0, rung_ = 0;
};

constexpr nacre_type kType =
    device_type<@Class@>("@name@", "pci", "three registers on PCI", kProps, NACRE_TYPE_HOTPLUGGABLE);

}  // namespace

NACRE_PLUGIN(&kType);
