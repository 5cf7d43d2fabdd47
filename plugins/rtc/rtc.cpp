// mc146818rtc: the clock of a PC at ports 0x70 and 0x71, with what firmware looks up in its memory.
#include <algorithm>
#include <nacre/loop.hpp>
#include <nacre/mutex.hpp>
#include <nacre/plugin.hpp>

#include "mc146818.hpp"

namespace nacre::rtc {
namespace {

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_U64, .name = "iobase", .help = "the index port", .default_text = "0x70", .max = 0xfffe},
    {.type = NACRE_PROP_U64, .name = "irq", .help = "interrupt line", .default_text = "8", .max = 23},
    {.type = NACRE_PROP_SIZE, .name = "low-ram", .help = "RAM below 4 GiB, for firmware", .default_text = "0"},
    {.type = NACRE_PROP_SIZE, .name = "high-ram", .help = "RAM above 4 GiB, for firmware", .default_text = "0"},
};

enum StateTag : uint32_t { kTagBytes = 1, kTagOffset = 2, kTagIndex = 3 };

int64_t now() {
  return static_cast<int64_t>(sdk::now(NACRE_CLOCK_REALTIME));
}

// The registers are used by vCPUs and by the loop's timer: a lock of its own, held for a few instructions, orders them.
class Rtc : public sdk::Device {
 public:
  explicit Rtc(nacre_instance* instance) : Device(instance), clock_(now()) {}
  ~Rtc() override { release(); }

  sdk::Status realize(nacre_error* slot) override {
    using sdk::ErrorSlot;
    using sdk::host;
    static constexpr nacre_mmio_ops kOps{sizeof(nacre_mmio_ops), 0, on_read, on_write};
    show_ram(*u64("low-ram"), *u64("high-ram"));
    if (sdk::Status made = timer_.start(host.loop->of(instance()), on_timer, this, slot); !made) return made;
    sdk::Status connected = ErrorSlot::wrap(slot, "the interrupt line is not free", [&](nacre_error* error) {
      return host.irq->connect(instance(), static_cast<uint32_t>(*u64("irq")), &irq_, error);
    });
    if (!connected) return connected;
    return ErrorSlot::wrap(slot, "the I/O ports are not free", [&](nacre_error* error) {
      return host.mmio->claim(instance(), NACRE_SPACE_PIO, *u64("iobase"), 2, 0, &kOps, this, &ports_, error);
    });
  }

  void unrealize() override { release(); }

  void reset() override {
    sdk::MutexLock lock(mutex_);
    clock_.reset(now());
    index_ = 0;
    update(now());
  }

  sdk::Status save(nacre_state_writer* out) override {
    sdk::MutexLock lock(mutex_);
    const Mc146818::State state = clock_.save();
    sdk::host.state->put_bytes(out, kTagBytes, state.bytes.data(), state.bytes.size());
    sdk::host.state->put_u64(out, kTagOffset, static_cast<uint64_t>(state.offset));
    sdk::host.state->put_u64(out, kTagIndex, index_);
    return {};
  }

  sdk::Status load(nacre_state_reader* in) override {
    const void* bytes = nullptr;
    uint64_t length = 0, offset = 0, index = 0;
    if (sdk::host.state->get_bytes(in, kTagBytes, &bytes, &length) != NACRE_OK || length != Mc146818::kBytes ||
        sdk::host.state->get_u64(in, kTagOffset, &offset) != NACRE_OK ||
        sdk::host.state->get_u64(in, kTagIndex, &index) != NACRE_OK)
      return sdk::fail("the saved state of a clock lacks its registers, or they have a wrong length");
    Mc146818::State state{};
    std::copy_n(static_cast<const uint8_t*>(bytes), length, state.bytes.begin());
    state.offset = static_cast<int64_t>(offset);
    sdk::MutexLock lock(mutex_);
    // One time for both: the periodic flag would come up between two.
    const int64_t at = now();
    clock_.load(state, at);
    index_ = static_cast<uint8_t>(index);
    update(at);
    return {};
  }

 private:
  enum : uint64_t { kIndexPort = 0, kDataPort = 1 };
  static Rtc* of(void* self) { return static_cast<Rtc*>(self); }

  static uint64_t on_read(void* self, uint64_t offset, uint32_t) noexcept {
    sdk::MutexLock lock(of(self)->mutex_);
    if (offset != kDataPort) return 0xff;  // the index cannot be read
    const uint8_t value = of(self)->clock_.read(of(self)->index_, now());
    of(self)->update(now());
    return value;
  }

  static void on_write(void* self, uint64_t offset, uint32_t, uint64_t value) noexcept {
    sdk::MutexLock lock(of(self)->mutex_);
    if (offset == kIndexPort) {
      of(self)->index_ = value & 0x7f;  // bit 7 masks the NMI, which nothing here raises
    } else {
      of(self)->clock_.write(of(self)->index_, static_cast<uint8_t>(value), now());
      of(self)->update(now());
    }
  }

  // [loop]
  static void on_timer(void* self) noexcept {
    sdk::MutexLock lock(of(self)->mutex_);
    of(self)->update(now());
  }
  static void on_update_timer(void* self) noexcept {
    sdk::MutexLock lock(of(self)->mutex_);
    of(self)->arm();
  }

  // Shows the line as it is at a time, now, and has the timer set for its next change.
  void update(int64_t at) NACRE_REQUIRES(mutex_) {
    const bool level = clock_.line(at);
    if (level != level_) sdk::host.irq->set(irq_, level_ = level);
    if (clock_.next_event() == armed_for_) return;
    nacre_loop* loop = sdk::host.loop->of(instance());
    if (sdk::host.loop->is_current(loop))
      arm();
    else
      sdk::host.loop->post(loop, on_update_timer, this);
  }

  // [loop]
  void arm() NACRE_REQUIRES(mutex_) {
    armed_for_ = clock_.next_event();
    if (armed_for_)
      timer_.arm(static_cast<uint64_t>(std::max<int64_t>(*armed_for_ - now(), 1)));
    else
      timer_.disarm();
  }

  // Where a PC's firmware looks for the size of RAM: KiB above 1 MiB up to 64 MiB, units of 64 KiB above 16 MiB and
  // above 4 GiB.
  void show_ram(uint64_t low, uint64_t high) {
    constexpr uint64_t kKib = 1 << 10, kMib = 1 << 20;
    sdk::MutexLock lock(mutex_);
    auto put = [&](uint8_t index, uint64_t value, int bytes) NACRE_REQUIRES(mutex_) {
      for (int i = 0; i < bytes; ++i) clock_.set_memory(static_cast<uint8_t>(index + i), (value >> (8 * i)) & 0xff);
    };
    const uint64_t above_1 = low > kMib ? std::min<uint64_t>((low - kMib) / kKib, 0xffff) : 0;
    const uint64_t above_16 = low > 16 * kMib ? std::min<uint64_t>((low - 16 * kMib) / (64 * kKib), 0xffff) : 0;
    put(0x15, std::min<uint64_t>(low / kKib, 640), 2);
    put(0x17, above_1, 2);
    put(0x30, above_1, 2);
    put(0x34, above_16, 2);
    put(0x5b, high / (64 * kKib), 3);
  }

  void release() {
    if (ports_) sdk::host.mmio->release(std::exchange(ports_, nullptr));
    timer_.stop();
    if (irq_) sdk::host.irq->disconnect(std::exchange(irq_, nullptr));
  }

  sdk::Mutex mutex_;
  Mc146818 clock_ NACRE_GUARDED_BY(mutex_);
  uint8_t index_ NACRE_GUARDED_BY(mutex_) = 0;
  bool level_ NACRE_GUARDED_BY(mutex_) = false;
  std::optional<int64_t> armed_for_ NACRE_GUARDED_BY(mutex_);
  sdk::Timer timer_;
  nacre_irq* irq_ = nullptr;
  nacre_mmio_region* ports_ = nullptr;
};

constexpr nacre_type kType = sdk::device_type<Rtc>(
    "mc146818rtc", "isa", "the clock of a PC and its battery-backed memory", kProps, 0, /*state_version=*/1);

}  // namespace
}  // namespace nacre::rtc

NACRE_PLUGIN(&nacre::rtc::kType);
