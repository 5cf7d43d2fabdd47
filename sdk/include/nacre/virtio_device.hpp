// A virtio device as a class, without its transport.
#pragma once

#include <nacre/plugin.hpp>
#include <span>

namespace nacre::sdk {

// What the driver has set up, for the time until deactivate().
class VirtioActivation {
 public:
  explicit VirtioActivation(const nacre_virtio_activation& raw) : raw_(raw) {}
  uint64_t features() const { return raw_.features; }
  bool has(unsigned feature_bit) const { return raw_.features >> feature_bit & 1; }
  uint32_t n_queues() const { return raw_.n_queues; }
  const nacre_virtqueue& queue(uint32_t i) const {
    const auto* first = reinterpret_cast<const uint8_t*>(raw_.queues);
    return *reinterpret_cast<const nacre_virtqueue*>(first + static_cast<size_t>(i) * raw_.queue_size);
  }

 private:
  const nacre_virtio_activation& raw_;
};

class VirtioDevice : public Device {
 public:
  using Device::Device;

  // [loop] The driver is ready. A failure asks the driver for a reset.
  virtual Status activate(const VirtioActivation& activation, nacre_error* slot) = 0;
  // [loop] Forget the queues; guest memory is not touched once it has returned.
  virtual void deactivate() = 0;
  // [loop]
  virtual void config_written(uint32_t /*offset*/, std::span<const uint8_t> /*data*/) {}

  void unrealize() override { detach(); }

 protected:
  // [main, in realize] Says what the device is: virtio 1.2 §5 device id, feature bits beside VERSION_1, the largest
  // size of each queue, the first content of the configuration.
  Status attach(uint32_t device_id, uint64_t features, std::span<const uint16_t> queue_sizes,
                std::span<const uint8_t> config, nacre_error* slot) {
    nacre_virtio_desc desc{};
    desc.size = sizeof desc;
    desc.device_id = device_id;
    desc.features = features;
    desc.queue_sizes = queue_sizes.data();
    desc.n_queues = static_cast<uint32_t>(queue_sizes.size());
    desc.config_size = static_cast<uint32_t>(config.size());
    desc.config = config.data();
    desc.ops = &kOps;
    return ErrorSlot::wrap(slot, "the host takes no such virtio device", [&](nacre_error* error) {
      return host.virtio->attach(instance(), &desc, this, &virtio_, error);
    });
  }
  void detach() {
    if (virtio_) host.virtio->detach(virtio_);
    virtio_ = nullptr;
  }
  void set_config(uint32_t offset, const void* data, uint32_t length, bool notify) {
    host.virtio->set_config(virtio_, offset, data, length, notify);
  }
  // Any thread. The device cannot go on; says why.
  void needs_reset(const char* reason) { host.virtio->needs_reset(virtio_, reason); }

 private:
  static VirtioDevice* of(void* self) { return static_cast<VirtioDevice*>(self); }
  static nacre_status on_activate(void* self, const nacre_virtio_activation* activation, nacre_error* slot) noexcept {
    return boundary::guard(slot, [&] { return of(self)->activate(VirtioActivation(*activation), slot); });
  }
  static void on_reset(void* self) noexcept { of(self)->deactivate(); }
  static void on_config_written(void* self, uint32_t offset, const uint8_t* data, uint32_t length) noexcept {
    of(self)->config_written(offset, {data, length});
  }
  static constexpr nacre_virtio_ops kOps{sizeof(nacre_virtio_ops), 0, on_activate, on_reset, on_config_written};

  nacre_virtio* virtio_ = nullptr;
};

}  // namespace nacre::sdk
