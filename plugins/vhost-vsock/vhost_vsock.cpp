// vhost-vsock: stream sockets between guest and host (virtio 1.2 §5.10), carried by the host's kernel.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <nacre/loop.hpp>
#include <nacre/vhost.hpp>
#include <nacre/virtio_device.hpp>

namespace nacre::vhost_vsock {
namespace {

constexpr uint32_t kDeviceId = 19;
constexpr uint16_t kQueueSize = 256;
constexpr uint32_t kKernelQueues = 2;  // receive and transmit; the third, for events, is ours
constexpr uint64_t kMinCid = 3;        // §5.10.4: 0 to 2 and 2^32 - 1 are reserved
constexpr uint64_t kMaxCid = 0xfffffffe;
constexpr const char* kKernelDevice = "/dev/vhost-vsock";

constexpr uint64_t bit(unsigned n) {
  return uint64_t{1} << n;
}
// What we hand on of the kernel's: SEQPACKET (§5.10.3), indirect descriptors, event index.
constexpr uint64_t kOffered = bit(1) | bit(28) | bit(29);
constexpr uint64_t kVersion1 = bit(32);

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_U64,
     .flags = NACRE_PROP_REQUIRED,
     .name = "guest-cid",
     .help = "address of the guest, its own on this host",
     .min = kMinCid,
     .max = kMaxCid},
    {.type = NACRE_PROP_FD, .name = "vhostfd", .help = "an open /dev/vhost-vsock; opened by itself otherwise"},
};

class OwnedFd {
 public:
  OwnedFd() = default;
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  ~OwnedFd() { reset(); }
  int get() const { return fd_; }
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

class VhostVsock : public sdk::VirtioDevice {
 public:
  using VirtioDevice::VirtioDevice;
  ~VhostVsock() override { release(); }

  sdk::Status realize(nacre_error* slot) override {
    if (current_) return sdk::fail("there is a vhost-vsock device already; a virtual machine has one.");
    if (std::optional<uint64_t> given = u64("vhostfd")) {
      kernel_fd_.reset(static_cast<int>(*given));
    } else {
      kernel_fd_.reset(::open(kKernelDevice, O_RDWR | O_CLOEXEC));
      if (kernel_fd_.get() < 0)
        return sdk::fail("cannot open ", kKernelDevice, ": ", std::strerror(errno),
                         errno == ENOENT ? "; load the kernel module vhost_vsock." : "; see who may use it.");
    }
    uint64_t cid = *u64("guest-cid");
    if (sdk::Status named = name_guest(cid); !named) return named;
    kernel_ = sdk::Vhost(kernel_fd_.get());
    sdk::Result<uint64_t> features = kernel_.features();
    if (!features) return features.error();
    if (sdk::Status owned = kernel_.own(); !owned) return owned;
    error_fd_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (error_fd_.get() < 0) return sdk::fail("no eventfd: ", std::strerror(errno));
    kernel_features_ = *features;
    const uint16_t sizes[] = {kQueueSize, kQueueSize, kQueueSize};
    sdk::Status attached =
        attach(kDeviceId, *features & kOffered, sizes, {reinterpret_cast<const uint8_t*>(&cid), sizeof cid}, slot);
    if (!attached) return attached;
    current_ = this;
    (void)sdk::host.memory->on_change(
        instance(), [](void* self) noexcept { static_cast<VhostVsock*>(self)->memory_changed(); }, this);
    return {};
  }

  void unrealize() override {
    (void)sdk::host.memory->on_change(instance(), nullptr, nullptr);
    release();
    detach();
  }

  sdk::Status activate(const sdk::VirtioActivation& activation, nacre_error* slot) override {
    memory_ = sdk::host.memory->acquire(instance());
    sdk::Status started = start(activation, slot);
    if (!started) deactivate();
    return started;
  }

  void deactivate() override {
    broken_.stop();
    if (running_) (void)run(0);
    running_ = false;
    for (; started_ > 0; --started_) (void)kernel_.stop_ring(started_ - 1);
    eventfd_t told;  // of this driver's rings, not of the next one's
    (void)::eventfd_read(error_fd_.get(), &told);
    if (memory_) sdk::host.memory->release(instance(), memory_);
    memory_ = nullptr;
  }

 private:
  // Also the proof that the descriptor is of the right kind: a vhostfd may be of anything.
  sdk::Status name_guest(uint64_t cid) const {
    if (::ioctl(kernel_fd_.get(), VHOST_VSOCK_SET_GUEST_CID, &cid) == 0) return {};
    if (errno == EADDRINUSE)
      return sdk::fail("guest-cid ", std::to_string(cid), " is used by another virtual machine; choose another.");
    if (errno == ENOTTY) return sdk::fail("vhostfd ", std::to_string(kernel_fd_.get()), " is no open ", kKernelDevice);
    return sdk::fail("the kernel does not give the guest its guest-cid: ", std::strerror(errno));
  }

  sdk::Status start(const sdk::VirtioActivation& activation, nacre_error* slot) {
    const sdk::MemoryView memory(memory_);
    const uint64_t accepted = activation.features() & kernel_features_ & (kOffered | kVersion1);
    if (sdk::Status prepared = kernel_.prepare(accepted, memory); !prepared) return prepared;
    for (; started_ < kKernelQueues; ++started_) {
      const nacre_virtqueue& queue = activation.queue(started_);
      if (!queue.ready) return sdk::fail("the driver has not set up its queues");
      sdk::Status ring = kernel_.start_ring(started_, queue, queue.first, memory, error_fd_.get());
      if (!ring) return ring;
    }
    sdk::Status watched = broken_.start(
        sdk::host.loop->of(instance()), error_fd_.get(), NACRE_LOOP_READ | NACRE_LOOP_EDGE,
        [](void* self) noexcept { static_cast<VhostVsock*>(self)->needs_reset("the driver has broken a queue"); }, this,
        slot);
    if (!watched) return watched;
    if (sdk::Status ran = run(1); !ran) return ran;
    running_ = true;
    return {};
  }

  sdk::Status run(int on) const { return kernel_.call(VHOST_VSOCK_SET_RUNNING, &on, "run the sockets of the guest"); }

  // On the main thread, which is also this device's loop.
  void memory_changed() {
    if (!running_) return;
    const nacre_memory_view* now = sdk::host.memory->acquire(instance());
    if (sdk::Status told = kernel_.set_memory(sdk::MemoryView(now)); !told) needs_reset(told.error().message.c_str());
    sdk::host.memory->release(instance(), memory_);
    memory_ = now;
  }

  void release() {
    if (current_ == this) current_ = nullptr;
    kernel_fd_.reset();
  }

  static inline VhostVsock* current_ = nullptr;

  OwnedFd kernel_fd_;
  OwnedFd error_fd_;
  sdk::Vhost kernel_;
  uint64_t kernel_features_ = 0;
  const nacre_memory_view* memory_ = nullptr;
  sdk::Watch broken_;
  uint32_t started_ = 0;  // rings that the kernel has
  bool running_ = false;
};

constexpr nacre_type kType = sdk::device_type<VhostVsock>(
    "vhost-vsock-device", "virtio", "sockets between guest and host, by the host's kernel", kProps);

}  // namespace
}  // namespace nacre::vhost_vsock

NACRE_PLUGIN(&nacre::vhost_vsock::kType);
