// pflash-cfi01: firmware flash with Intel's command set. The guest reads and executes it like memory; commands are
// writes, and while one is not back at reading the array, reads come here too.
#include <nacre/plugin.hpp>

#include "cfi01.hpp"
#include "image.hpp"

namespace nacre::flash {
namespace {

constexpr uint64_t kMost = 64 << 20;

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_NODE,
     .flags = NACRE_PROP_REQUIRED,
     .name = "drive",
     .help = "what the flash holds; read-only when the drive is",
     .node_kind = "block"},
    {.type = NACRE_PROP_U64,
     .name = "end",
     .help = "guest-physical address behind the last byte",
     .default_text = "0x100000000",
     .min = 4096},
    {.type = NACRE_PROP_SIZE,
     .flags = NACRE_PROP_POWER_OF_TWO,
     .name = "sector-length",
     .help = "bytes that one erase clears",
     .default_text = "4096",
     .min = 4096,
     .max = 1 << 20},
    {.type = NACRE_PROP_U64,
     .flags = NACRE_PROP_POWER_OF_TWO,
     .name = "width",
     .help = "bytes of a word of all chips side by side",
     .default_text = "1",
     .min = 1,
     .max = 4},
    {.type = NACRE_PROP_U64,
     .flags = NACRE_PROP_POWER_OF_TWO,
     .name = "device-width",
     .help = "bytes of a word of one chip, at most width",
     .default_text = "1",
     .min = 1,
     .max = 4},
};

// The host lets one vCPU at a time into the range; reset() comes while none runs.
class Pflash : public sdk::Device {
 public:
  explicit Pflash(nacre_instance* instance) : Device(instance), image_(instance) {}
  ~Pflash() override { release(); }

  sdk::Status realize(nacre_error* slot) override {
    sdk::Status taken = take(slot);
    if (!taken) release();
    return taken;
  }

  void unrealize() override { release(); }

  void reset() override {
    flash_->reset();
    follow();
  }

  void quiesce(nacre_callback done, void* opaque) override { image_.settle(done, opaque); }

 private:
  static Pflash& of(void* self) { return *static_cast<Pflash*>(self); }

  sdk::Status take(nacre_error* slot) {
    using sdk::ErrorSlot;
    using sdk::host;
    Geometry geometry;
    geometry.sector = static_cast<uint32_t>(*u64("sector-length"));
    geometry.bank_width = static_cast<uint32_t>(*u64("width"));
    geometry.device_width = static_cast<uint32_t>(*u64("device-width"));
    if (geometry.device_width > geometry.bank_width)
      return sdk::fail("device-width ", std::to_string(geometry.device_width), " is more than width ",
                       std::to_string(geometry.bank_width), ", of which each chip has a part.");
    const uint64_t end = *u64("end");
    if (sdk::Status loaded = image_.load(text("drive"), geometry.sector, std::min(kMost, end), slot); !loaded)
      return loaded;
    geometry.readonly = image_.readonly();
    flash_.emplace(image_.bytes(), geometry);
    static constexpr nacre_mmio_ops kOps{sizeof(nacre_mmio_ops), 0, on_read, on_write};
    const uint64_t size = image_.bytes().size();
    sdk::Status claimed = ErrorSlot::wrap(slot, "the addresses are not free", [&](nacre_error* error) {
      return host.mmio->claim(instance(), NACRE_SPACE_MMIO, end - size, size, NACRE_MMIO_SERIALIZE, &kOps, this,
                              &region_, error);
    });
    return claimed ? show(slot) : claimed;
  }

  static uint64_t on_read(void* self, uint64_t offset, uint32_t width) noexcept {
    return of(self).flash_->read(offset, width);
  }

  static void on_write(void* self, uint64_t offset, uint32_t width, uint64_t value) noexcept {
    Pflash& device = of(self);
    device.image_.change([&] { return device.flash_->write(offset, width, value); });
    device.follow();
  }

  // Maps the array while reads are to give it.
  void follow() {
    if (mapped_ == flash_->reads_array()) return;
    if (!mapped_) {
      // Where KVM has no memory for it, reads come here: slower, and right but for code that runs in the flash.
      (void)show(nullptr);
    } else {
      sdk::host.mmio->map(region_, nullptr, 0, nullptr);
      mapped_ = false;
    }
  }

  sdk::Status show(nacre_error* slot) {
    sdk::Status shown = sdk::ErrorSlot::wrap(slot, "the flash cannot be mapped", [&](nacre_error* error) {
      return sdk::host.mmio->map(region_, image_.bytes().data(), image_.bytes().size(), error);
    });
    mapped_ = bool(shown);
    return shown;
  }

  void release() {
    if (region_) sdk::host.mmio->release(std::exchange(region_, nullptr));
    image_.close();
  }

  Image image_;
  std::optional<Cfi01> flash_;
  nacre_mmio_region* region_ = nullptr;
  bool mapped_ = false;
};

constexpr nacre_type kType =
    sdk::device_type<Pflash>("pflash-cfi01", "mmio", "firmware flash with Intel's command set", kProps);

}  // namespace
}  // namespace nacre::flash

NACRE_PLUGIN(&nacre::flash::kType);
