// acpi-power: the registers by which a guest with hardware-reduced ACPI powers off and resets, and the interrupt of its
// power button (ACPI 6.4 §4.8.3.6 reset register, §4.8.3.7 sleep control and status).
#include <nacre/plugin.hpp>

namespace nacre::acpi_power {
namespace {

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_U64,
     .flags = NACRE_PROP_REQUIRED,
     .name = "iobase",
     .help = "first of three I/O ports: "
             "sleep control, sleep status, reset",
     .max = 0xfffc},
    {.type = NACRE_PROP_U64,
     .flags = NACRE_PROP_REQUIRED,
     .name = "irq",
     .help = "interrupt of the power button",
     .max = 23},
};

enum : uint64_t { kSleepControl = 0, kSleepStatus = 1, kReset = 2, kPorts = 3 };
constexpr uint8_t kSleepEnable = 1u << 5;
constexpr uint8_t kSleepTypeS5 = 5u << 2;  // as the machine's \_S5 says
constexpr uint8_t kResetValue = 1;         // as the machine's FADT says

class AcpiPower : public sdk::Device {
 public:
  using Device::Device;
  ~AcpiPower() override { release(); }

  sdk::Status realize(nacre_error* slot) override {
    using sdk::ErrorSlot;
    using sdk::host;
    static constexpr nacre_mmio_ops kOps{sizeof(nacre_mmio_ops), 0, on_read, on_write};
    sdk::Status connected = ErrorSlot::wrap(slot, "the interrupt line is not free", [&](nacre_error* error) {
      return host.irq->connect(instance(), static_cast<uint32_t>(*u64("irq")), &irq_, error);
    });
    if (!connected) return connected;
    sdk::Status claimed = ErrorSlot::wrap(slot, "the I/O ports are not free", [&](nacre_error* error) {
      return host.mmio->claim(instance(), NACRE_SPACE_PIO, *u64("iobase"), kPorts, 0, &kOps, this, &ports_, error);
    });
    if (!claimed) return claimed;
    host.lifecycle->on_powerdown(
        instance(), [](void* self) noexcept { sdk::host.irq->pulse(static_cast<AcpiPower*>(self)->irq_); }, this);
    return {};
  }

  void unrealize() override { release(); }

 private:
  // Neither register shows anything: the guest is gone before it could look, and it never wakes from S5.
  static uint64_t on_read(void*, uint64_t, uint32_t) noexcept { return 0; }

  static void on_write(void* self, uint64_t offset, uint32_t, uint64_t value) noexcept {
    nacre_instance* instance = static_cast<AcpiPower*>(self)->instance();
    if (offset == kSleepControl && (value & 0xff) == (kSleepTypeS5 | kSleepEnable))
      sdk::host.lifecycle->request(instance, NACRE_REQUEST_SHUTDOWN);
    else if (offset == kReset && (value & 0xff) == kResetValue)
      sdk::host.lifecycle->request(instance, NACRE_REQUEST_RESET);
  }

  void release() {
    if (ports_) sdk::host.mmio->release(std::exchange(ports_, nullptr));
    if (irq_) sdk::host.irq->disconnect(std::exchange(irq_, nullptr));
  }

  nacre_irq* irq_ = nullptr;
  nacre_mmio_region* ports_ = nullptr;
};

constexpr nacre_type kType = sdk::device_type<AcpiPower>(
    "acpi-power", "isa", "power-off, reset and power button of hardware-reduced ACPI", kProps);

}  // namespace
}  // namespace nacre::acpi_power

NACRE_PLUGIN(&nacre::acpi_power::kType);
