// isa-serial: a 16550A serial port on port I/O, wired to a character back end.
#include <nacre/mutex.hpp>
#include <nacre/plugin.hpp>

#include "uart.hpp"

namespace nacre::serial {
namespace {

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_NODE,
     .flags = NACRE_PROP_REQUIRED,
     .name = "chardev",
     .help = "where the other end of the wire is",
     .node_kind = "chardev"},
    {.type = NACRE_PROP_U64, .name = "iobase", .help = "first I/O port", .default_text = "0x3f8", .max = 0xfff8},
    {.type = NACRE_PROP_U64, .name = "irq", .help = "interrupt line", .default_text = "4", .max = 23},
};

enum StateTag : uint32_t { kTagRegisters = 1, kTagInput = 2 };

// The registers are used by vCPUs and by the loop: a lock of its own, held for a few instructions, orders them.
class Serial : public sdk::Device {
 public:
  using Device::Device;
  ~Serial() override { release(); }

  sdk::Status realize(nacre_error* slot) override {
    using sdk::ErrorSlot;
    using sdk::host;
    static constexpr nacre_chardev_events kEvents{
        sizeof(nacre_chardev_events), 0, on_readable, on_writable, nullptr, nullptr};
    static constexpr nacre_mmio_ops kOps{sizeof(nacre_mmio_ops), 0, on_read, on_write};
    sdk::Status opened = ErrorSlot::wrap(slot, "the character back end cannot be used", [&](nacre_error* error) {
      return host.chardev->open(instance(), text("chardev"), &kEvents, this, &wire_, error);
    });
    if (!opened) return opened;
    sdk::Status connected = ErrorSlot::wrap(slot, "the interrupt line is not free", [&](nacre_error* error) {
      return host.irq->connect(instance(), static_cast<uint32_t>(*u64("irq")), &irq_, error);
    });
    if (!connected) return connected;
    return ErrorSlot::wrap(slot, "the I/O ports are not free", [&](nacre_error* error) {
      return host.mmio->claim(instance(), NACRE_SPACE_PIO, *u64("iobase"), Uart::kRegisters, 0, &kOps, this, &ports_,
                              error);
    });
  }

  void unrealize() override { release(); }

  void reset() override {
    sdk::MutexLock lock(mutex_);
    uart_.reset();
    update_line();
  }

  sdk::Status save(nacre_state_writer* out) override {
    sdk::MutexLock lock(mutex_);
    Uart::State state = uart_.save();
    sdk::host.state->put_bytes(out, kTagRegisters, state.registers.data(), state.registers.size());
    sdk::host.state->put_bytes(out, kTagInput, state.input.data(), state.input_count);
    return {};
  }

  sdk::Status load(nacre_state_reader* in) override {
    const void* registers = nullptr;
    const void* input = nullptr;
    uint64_t n_registers = 0, n_input = 0;
    if (sdk::host.state->get_bytes(in, kTagRegisters, &registers, &n_registers) != NACRE_OK ||
        sdk::host.state->get_bytes(in, kTagInput, &input, &n_input) != NACRE_OK)
      return sdk::fail("the saved state of a serial port lacks its registers or its input");
    Uart::State state{};
    if (n_registers != state.registers.size() || n_input > state.input.size())
      return sdk::fail("the saved state of a serial port has a wrong length");
    std::memcpy(state.registers.data(), registers, n_registers);
    if (n_input) std::memcpy(state.input.data(), input, n_input);
    state.input_count = static_cast<uint32_t>(n_input);
    sdk::MutexLock lock(mutex_);
    uart_.load(state);
    update_line();
    return {};
  }

 private:
  static Serial* of(void* self) { return static_cast<Serial*>(self); }

  static uint64_t on_read(void* self, uint64_t offset, uint32_t) noexcept {
    Uart::Effect effect;
    uint8_t value;
    {
      sdk::MutexLock lock(of(self)->mutex_);
      value = of(self)->uart_.read(static_cast<uint32_t>(offset), effect);
      of(self)->update_line();
    }
    // The guest has made room: what the back end holds is fetched on the loop.
    if (effect.input_room) of(self)->fetch_soon();
    return value;
  }

  static void on_write(void* self, uint64_t offset, uint32_t, uint64_t value) noexcept {
    Uart::Effect effect;
    {
      sdk::MutexLock lock(of(self)->mutex_);
      of(self)->uart_.write(static_cast<uint32_t>(offset), static_cast<uint8_t>(value), effect);
      if (effect.transmit && sdk::host.chardev->write(of(self)->wire_, &effect.byte, 1) == 0)
        of(self)->uart_.set_wire_ready(false);
      of(self)->update_line();
    }
    if (effect.input_room) of(self)->fetch_soon();
  }

  static void on_readable(void* self) noexcept { of(self)->fetch(); }

  static void on_writable(void* self) noexcept {
    sdk::MutexLock lock(of(self)->mutex_);
    of(self)->uart_.set_wire_ready(true);
    of(self)->update_line();
  }

  void fetch_soon() { sdk::host.loop->post(sdk::host.loop->of(instance()), on_readable, this); }

  void fetch() {
    uint8_t data[Uart::kInputMax];
    sdk::MutexLock lock(mutex_);
    for (uint32_t room; (room = uart_.input_room()) > 0;) {
      uint32_t n = sdk::host.chardev->read(wire_, data, room);
      if (n == 0) break;
      uart_.receive(data, n);
    }
    update_line();
  }

  void update_line() NACRE_REQUIRES(mutex_) {
    bool level = uart_.interrupt();
    if (level != level_ && irq_) sdk::host.irq->set(irq_, level);
    level_ = level;
  }

  void release() {
    if (ports_) sdk::host.mmio->release(std::exchange(ports_, nullptr));
    if (irq_) sdk::host.irq->disconnect(std::exchange(irq_, nullptr));
    if (wire_) sdk::host.chardev->close(std::exchange(wire_, nullptr));
  }

  sdk::Mutex mutex_;
  Uart uart_ NACRE_GUARDED_BY(mutex_);
  bool level_ NACRE_GUARDED_BY(mutex_) = false;
  nacre_chardev* wire_ = nullptr;
  nacre_irq* irq_ = nullptr;
  nacre_mmio_region* ports_ = nullptr;
};

constexpr nacre_type kType =
    sdk::device_type<Serial>("isa-serial", "isa", "a 16550A serial port", kProps, 0, /*state_version=*/1);

}  // namespace
}  // namespace nacre::serial

NACRE_PLUGIN(&nacre::serial::kType);
