// A virtio entropy device (virtio 1.2 §5.4) whose bytes count up, so that a guest's /dev/hwrng shows who made them.
#include <array>
#include <nacre/request_queue.hpp>
#include <nacre/virtio_device.hpp>
#include <numeric>

namespace {

using namespace nacre::sdk;

constexpr uint32_t kDeviceId = 4;  // what the guest's driver goes by
constexpr uint16_t kQueueSize = 64;

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_U64, .name = "first", .help = "the first byte", .default_text = "0", .max = 255},
};

class @Class@ : public VirtioDevice {
 public:
  using VirtioDevice::VirtioDevice;

  Status realize(nacre_error* slot) override {
    next_ = static_cast<uint8_t>(u64("first").value_or(0));
    return attach(kDeviceId, 0, {&kQueueSize, 1}, {}, slot);
  }
  Status activate(const VirtioActivation& driver, nacre_error* slot) override {
    return requests_.start(instance(), driver.queue(0), driver.features(), slot);
  }
  void deactivate() override { requests_.stop(); }

 private:
  // Fills the driver's buffer, or its first bytes; returns how many.
  uint32_t answer(DescriptorChain& request) {
    std::array<uint8_t, 256> bytes;
    std::iota(bytes.begin(), bytes.end(), next_);
    const uint64_t written = request.writable.put_front(bytes.data(), bytes.size());
    next_ = static_cast<uint8_t>(next_ + written);
    return static_cast<uint32_t>(written);
  }

  uint8_t next_ = 0;
  RequestQueue requests_{[this](DescriptorChain& request) { return answer(request); },
                         [this](const char* why) { needs_reset(why); }};
};

constexpr nacre_type kType = device_type<@Class@>("@name@", "virtio", "counting bytes as a source of entropy", kProps);

}  // namespace

NACRE_PLUGIN(&kType);
