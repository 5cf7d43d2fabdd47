// A device with two registers in the guest's memory map, which may come and go while the guest runs: an identity at
// offset 0, and at 8 a number that goes up by one with each read and takes what is written. See /dev/mem of a guest.
#include <atomic>
#include <nacre/plugin.hpp>

namespace {

using namespace nacre::sdk;

enum : uint64_t { kIdentity = 0, kCounter = 8, kLength = 4096 };
constexpr uint64_t kWhoAmI = 0x6572636e;  // "ncre"
constexpr uint32_t kTagCounter = 1;       // of the saved state

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_U64,
     .name = "addr",
     .help = "guest-physical address of the registers",
     .default_text = "0xfd000000",
     .max = UINT64_MAX - kLength},
};

class @Class@ : public Device {
 public:
  using Device::Device;
  ~@Class@() override { unrealize(); }

  Status realize(nacre_error* slot) override {
    static constexpr nacre_mmio_ops kOps{sizeof(nacre_mmio_ops), 0, on_read, on_write};
    return ErrorSlot::wrap(slot, "the addresses are not free", [&](nacre_error* error) {
      return host.mmio->claim(instance(), NACRE_SPACE_MMIO, u64("addr").value_or(0), kLength, 0, &kOps, this, &range_,
                              error);
    });
  }
  void unrealize() override {
    if (range_) host.mmio->release(std::exchange(range_, nullptr));
  }
  void reset() override { counter_ = 0; }

  Status save(nacre_state_writer* out) override {
    const bool written = host.state->put_u64(out, kTagCounter, counter_) == NACRE_OK;
    return written ? Status() : fail("the counter cannot be saved");
  }
  Status load(nacre_state_reader* in) override {
    uint64_t value = 0;
    if (host.state->get_u64(in, kTagCounter, &value) != NACRE_OK) return fail("the saved state has no counter");
    counter_ = static_cast<uint32_t>(value);
    return {};
  }

 private:
  // Several virtual CPUs may be in here at once.
  static uint64_t on_read(void* self, uint64_t offset, uint32_t) noexcept {
    if (offset == kIdentity) return kWhoAmI;
    return offset == kCounter ? static_cast<@Class@*>(self)->counter_++ : 0;
  }
  static void on_write(void* self, uint64_t offset, uint32_t, uint64_t value) noexcept {
    if (offset == kCounter) static_cast<@Class@*>(self)->counter_ = static_cast<uint32_t>(value);
  }
  std::atomic<uint32_t> counter_ = 0;
  nacre_mmio_region* range_ = nullptr;
};

constexpr nacre_type kType =
    device_type<@Class@>("@name@", "mmio", "two registers", kProps, NACRE_TYPE_HOTPLUGGABLE, 1);

}  // namespace

NACRE_PLUGIN(&kType);
