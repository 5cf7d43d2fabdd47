#include "core/virtio/virtio_device.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <future>
#include <memory>

#include "core/base/error_slot.hpp"
#include "core/base/log.hpp"

namespace nacre::virtio {

Result<std::unique_ptr<VirtioDevice>> VirtioDevice::create(const nacre_virtio_desc& desc, void* self, EventLoop& loop,
                                                           std::string name, Enter enter) {
  if (desc.size < offsetof(nacre_virtio_desc, ops) + sizeof desc.ops || !desc.ops)
    return fail("{}: its virtio description is too short; this is a defect of the plugin.", name);
  if (desc.n_queues == 0 || desc.n_queues > 1024)
    return fail("{}: it asks for {} queues; a virtio device has 1 to 1024.", name, desc.n_queues);
  if (desc.config_size > NACRE_VIRTIO_CONFIG_MAX || (desc.config_size && !desc.config))
    return fail("{}: its configuration has {} bytes; at most {} fit.", name, desc.config_size, NACRE_VIRTIO_CONFIG_MAX);
  auto device = std::unique_ptr<VirtioDevice>(new VirtioDevice(loop));
  for (uint32_t i = 0; i < desc.n_queues; ++i) {
    uint16_t size = desc.queue_sizes[i];
    if (!std::has_single_bit(size) || size > 32768)
      return fail("{}: its queue {} has {} entries; it must be a power of two up to 32768.", name, i, size);
    device->queue_sizes_.push_back(size);
  }
  std::memcpy(&device->ops_, desc.ops, std::min<size_t>(desc.ops->size, sizeof device->ops_));
  if (!device->ops_.activate || !device->ops_.reset)
    return fail("{}: it has no activate() or no reset(); this is a defect of the plugin.", name);
  device->name_ = std::move(name);
  device->enter_ = std::move(enter);
  device->device_id_ = desc.device_id;
  device->features_ = desc.features | uint64_t{1} << kFeatureVersion1;
  device->config_size_ = desc.config_size;
  {
    MutexLock lock(device->mutex_);
    device->config_.assign(desc.config, desc.config + desc.config_size);
  }
  device->self_ = self;
  return device;
}

void VirtioDevice::on_loop(const char* function, const std::function<void()>& call) {
  loop_.call([&] { enter_ ? enter_(function, call) : call(); });
}

bool VirtioDevice::activate(const nacre_virtio_activation& activation) {
  ErrorSlot slot;
  nacre_status code = NACRE_OK;
  on_loop("activate", [&] {
    code = ops_.activate(self_, &activation, slot.handle());
    if (code == NACRE_PLUGIN_EXCEPTION && threw_) threw_("activate", slot.text(""));
  });
  if (code != NACRE_OK) complain(slot.text("it cannot be activated and gave no reason"));
  return code == NACRE_OK;
}

void VirtioDevice::reset() {
  on_loop("reset", [&] { ops_.reset(self_); });
}

bool VirtioDevice::hold(std::function<void()> settled, const void* owner) {
  return !hold_ || hold_(std::move(settled), owner);
}

void VirtioDevice::wait_settled() {
  for (;;) {
    // Shared: the one that sets it may come to its end after the one that waits.
    auto settled = std::make_shared<std::promise<void>>();
    if (hold([settled] { settled->set_value(); }, nullptr)) return;
    settled->get_future().wait();
  }
}

void VirtioDevice::config_written(uint32_t offset, const uint8_t* data, uint32_t length) {
  if (ops_.config_written) on_loop("config_written", [&] { ops_.config_written(self_, offset, data, length); });
}

void VirtioDevice::set_config(uint32_t offset, const void* data, uint32_t length, bool notify) {
  if (offset > config_size_ || length > config_size_ - offset) {
    log::warn("virtio", "{}: it changes configuration bytes {}..{}, of {}; ignored.", name_, offset, offset + length,
              config_size_);
    return;
  }
  MutexLock lock(mutex_);
  if (length) std::memcpy(config_.data() + offset, data, length);
  if (transport_) transport_->set_config(offset, data, length, notify);
}

void VirtioDevice::plug_into(Transport* transport) {
  MutexLock lock(mutex_);
  transport_ = transport;
  if (transport) transport->show_config(config_);
}

void VirtioDevice::complain(const std::string& what) {
  complaints_.warn("virtio", "{}: {}; it stops until its driver resets it.", name_, what);
}

void VirtioDevice::driver_failed(const std::string& what) {
  complain(what);
}

void VirtioDevice::needs_reset(const char* reason) {
  complain(reason ? reason : "it cannot go on");
  MutexLock lock(mutex_);
  if (transport_) transport_->needs_reset();
}

}  // namespace nacre::virtio
