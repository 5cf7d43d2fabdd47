// The host's side of one virtio device: what its plugin said it is, and the way to call the plugin on its loop.
#pragma once

#include <nacre/abi/virtio.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/base/log_limit.hpp"
#include "core/base/mutex.hpp"
#include "core/base/result.hpp"
#include "core/loop/event_loop.hpp"

namespace nacre::virtio {

inline constexpr unsigned kFeatureVersion1 = 32;  // virtio 1.2 §6

// Where a device is plugged in: a transport, as the device sees it.
class Transport {
 public:
  virtual ~Transport() = default;
  // [main] The whole configuration, of a device that is being plugged in.
  virtual void show_config(std::span<const uint8_t> bytes) = 0;
  // [any] Changes the configuration that the driver reads; `notify` interrupts the driver.
  virtual void set_config(uint32_t offset, const void* data, uint32_t length, bool notify) = 0;
  // [any] Shows DEVICE_NEEDS_RESET (§2.1.1).
  virtual void needs_reset() = 0;
};

// A device as its plugin has described it in attach(). Made and destroyed on the main thread.
class VirtioDevice {
 public:
  // Checks the description: known sizes, powers of two, a configuration that fits. `name` is for words about it;
  // `enter` wraps each call of the plugin (the crash breadcrumb) and may be empty.
  using Enter = std::function<void(const char* function, const std::function<void()>& call)>;
  static Result<std::unique_ptr<VirtioDevice>> create(const nacre_virtio_desc& desc, void* self, EventLoop& loop,
                                                      std::string name, Enter enter);

  const std::string& name() const { return name_; }
  uint32_t device_id() const { return device_id_; }
  uint64_t features() const { return features_; }
  const std::vector<uint16_t>& queue_sizes() const { return queue_sizes_; }
  uint32_t config_size() const { return config_size_; }  // bytes
  EventLoop& loop() { return loop_; }

  // [any] The plugin's functions, called on its loop; the caller waits. A failing activation is logged, at most once a
  // second, and false.
  bool activate(const nacre_virtio_activation& activation);
  void reset();
  // [any] From now on the device asks nothing more of what is behind it, until it is reset. True when nothing is under
  // way there: reset() does not wait. Otherwise `settled` comes on the loop when that is so, posted in the name of
  // `owner`.
  bool hold(std::function<void()> settled, const void* owner);
  // [a thread without a loop] hold(), and waits until it is so; the device's loop goes on meanwhile.
  void wait_settled();
  void config_written(uint32_t offset, const uint8_t* data, uint32_t length);

  // [main] `threw(function, what)` is called, on the device's loop, when a function of the plugin ends by an exception.
  using Threw = std::function<void(const char* function, const std::string& what)>;
  void on_exception(Threw threw) { threw_ = std::move(threw); }
  // [main] What hold() asks; without it nothing is ever under way.
  using Hold = std::function<bool(std::function<void()> settled, const void* owner)>;
  void on_hold(Hold hold) { hold_ = std::move(hold); }

  // [main] Shows the transport its configuration. NULL unplugs: once it has returned, no thread of the plugin is in the
  // transport any more.
  void plug_into(Transport* transport);

  // [any] From the plugin.
  void set_config(uint32_t offset, const void* data, uint32_t length, bool notify);
  void needs_reset(const char* reason);
  // [any] The transport found the driver's set-up wrong: logged, at most once a second.
  void driver_failed(const std::string& what);

 private:
  explicit VirtioDevice(EventLoop& loop) : loop_(loop) {}
  void complain(const std::string& what);
  void on_loop(const char* function, const std::function<void()>& call);

  EventLoop& loop_;
  std::string name_;
  Enter enter_;
  Threw threw_;
  Hold hold_;
  uint32_t device_id_ = 0;
  uint64_t features_ = 0;
  std::vector<uint16_t> queue_sizes_;
  uint32_t config_size_ = 0;
  nacre_virtio_ops ops_{};
  void* self_ = nullptr;
  // Held while the transport hears of something, so that it is not gone before it has.
  Mutex mutex_;
  std::vector<uint8_t> config_ NACRE_GUARDED_BY(mutex_);
  Transport* transport_ NACRE_GUARDED_BY(mutex_) = nullptr;
  log::Limit complaints_;  // of a guest that breaks its rings on purpose
};

}  // namespace nacre::virtio
