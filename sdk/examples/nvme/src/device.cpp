// An NVMe controller with one namespace, whose blocks are those of a drive: its registers on PCI, and the way from the
// virtual CPUs that write them to the loop that serves them.
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nacre/loop.hpp>
#include <nacre/pci_device.hpp>

#include "controller.hpp"

namespace nvme {
namespace {

using namespace nacre::sdk;

constexpr uint32_t kRegistersBar = 0, kMsixBar = 4;  // the first takes 64 bits
constexpr uint64_t kRegistersBytes = 16 << 10;

// CAP, §3.1.1: entries, queues in one piece, 10 s to become ready, the NVM command set, pages of 4 KiB.
constexpr uint64_t kCapabilities = (kMostEntries - 1) | 1ull << 16 | 20ull << 24 | 1ull << 37;
constexpr uint32_t kVersion = 0x00010200;

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_NODE,
     .flags = NACRE_PROP_REQUIRED,
     .name = "drive",
     .help = "the disk: id of a -drive, or node name of a blockdev-add",
     .node_kind = "block"},
    {.type = NACRE_PROP_STRING, .name = "serial", .help = "serial number that the guest reads", .max = 20},
    {.type = NACRE_PROP_NODE,
     .name = "iothread",
     .help = "the -object iothread that serves this disk; the main thread otherwise",
     .node_kind = "iothread"},
};

class NvmeDevice : public PciDevice, private Controller::Host {
 public:
  explicit NvmeDevice(nacre_instance* instance) : PciDevice(instance), controller_(*this, doorbells_, disk_) {}
  ~NvmeDevice() override { close(); }

  nacre::sdk::Status realize(nacre_error* slot) override {
    nacre::sdk::Status made;
    // A slot without a disk, until there is one
    if (const char* drive = text("drive")) {
      made = disk_.open(instance(), drive, on_completed, this, slot);
      if (!made) return made;
      const char* serial = text("serial");
      controller_.describe(disk_.info(), serial ? serial : drive);
    }
    wake_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_fd_ < 0) return fail("no eventfd: ", std::strerror(errno), ".");
    made = woken_.start(nacre::sdk::host.loop->of(instance()), wake_fd_, NACRE_LOOP_READ, on_woken, this, slot);
    nacre_pci_desc desc{};
    desc.flags = NACRE_PCI_EXPRESS;
    desc.vendor_id = 0x1b36;
    desc.device_id = 0x0010;
    desc.subsystem_vendor_id = 0x1af4;
    desc.subsystem_id = 0x1100;
    desc.class_code = 0x010802;  // mass storage, non-volatile memory, NVM Express
    desc.interrupt_pin = 1;
    if (made) made = attach(desc, slot);
    if (made) made = bar(kRegistersBar, NACRE_PCI_BAR_MEMORY64, kRegistersBytes, slot);
    if (made) made = msix(kMsixBar, kVectors, slot);
    return made;
  }
  void unrealize() override { close(); }
  // [loop]
  void reset() override {
    disable();
    cc_ = aqa_ = masked_ = 0;
    asq_ = acq_ = 0;
  }
  void quiesce(nacre_callback done, void* opaque) override {
    if (disk_.is_open()) disk_.drain();
    done(opaque);
  }

  // [vcpu] §3.1: registers by aligned words; other accesses are nobody's business.
  uint64_t read_bar(uint32_t, uint64_t offset, uint32_t width) override {
    if (offset % width) return 0;
    const uint64_t word = read_word(offset & ~uint64_t{7}) >> (8 * (offset % 8));
    return width == 8 ? word : word & ((uint64_t{1} << (8 * width)) - 1);
  }
  void write_bar(uint32_t, uint64_t offset, uint32_t width, uint64_t value) override {
    if (width < 4 || offset % width) return;
    write_word(static_cast<uint32_t>(offset), static_cast<uint32_t>(value));
    if (width == 8) write_word(static_cast<uint32_t>(offset) + 4, static_cast<uint32_t>(value >> 32));
  }
  // [vcpu] Without bus mastering nothing is taken from memory; with it, what has come meanwhile.
  void config_written(std::span<const uint8_t>, uint32_t offset, uint32_t) override {
    if (offset < 8) wake();
  }

 private:
  uint64_t read_word(uint64_t offset) const {
    switch (offset) {
      case kCap:
        return kCapabilities;
      case kVs:
        return kVersion | uint64_t{masked_.load()} << 32;
      case kIntmc:
        return masked_.load() | uint64_t{cc_.load()} << 32;
      case kCsts - 4:
        return uint64_t{csts_.load()} << 32;
      case kAqa - 4:
        return uint64_t{aqa_.load()} << 32;
      case kAsq:
        return asq_.load();
      case kAcq:
        return acq_.load();
      default:
        return 0;
    }
  }
  void write_word(uint32_t offset, uint32_t value) {
    if (offset >= kDoorbells) return ring((offset - kDoorbells) / 4, value);
    switch (offset) {
      case kIntms:
        masked_ |= value;
        return wake();
      case kIntmc:
        masked_ &= ~value;
        return wake();
      case kCc:
        cc_ = value;
        return wake();
      case kAqa:
        aqa_ = value;
        return;
      case kAsq:
      case kAcq:
        return set_half(offset == kAsq ? asq_ : acq_, value & ~(kPage - 1), 0);
      case kAsq + 4:
      case kAcq + 4:
        return set_half(offset == kAsq + 4 ? asq_ : acq_, value, 32);
      default:
        return;
    }
  }
  static void set_half(std::atomic<uint64_t>& word, uint32_t value, unsigned shift) {
    word = (word & ~(uint64_t{UINT32_MAX} << shift)) | uint64_t{value} << shift;
  }
  // §3.1.24 and §3.1.25: the tail of each submission queue, after it the head of its completion queue.
  void ring(uint32_t number, uint32_t value) {
    if (number / 2 > kIoQueues) return;
    auto& bells = number % 2 ? doorbells_.cq_head : doorbells_.sq_tail;
    bells[number / 2].store(value & 0xffff, std::memory_order_release);
    wake();
  }

  // [any] An eventfd that is never full: no vCPU waits here.
  void wake() override {
    if (pending_.exchange(true)) return;
    const uint64_t one = 1;
    [[maybe_unused]] ssize_t written = ::write(wake_fd_, &one, sizeof one);
  }
  static void on_woken(void* self) noexcept {
    auto& device = *static_cast<NvmeDevice*>(self);
    uint64_t count;
    [[maybe_unused]] ssize_t taken = ::read(device.wake_fd_, &count, sizeof count);
    device.pending_ = false;
    device.work();
  }
  static void on_completed(void* self, nacre_block_request* const* requests, uint32_t n) noexcept {
    for (uint32_t i = 0; i < n; ++i) Controller::completed(requests[i]);
    static_cast<NvmeDevice*>(self)->serve();
  }

  // [loop] What CC asks for (§3.1.5), then the queues.
  void work() {
    const uint32_t cc = cc_;
    if (!(cc & kEnable)) {
      if (csts_) disable();
      if (cc & kShutdown) csts_ |= kShutdownDone;  // nothing is running
      return;
    }
    if (!controller_.started() && !(csts_ & kFatal)) enable(cc);
    if (cc & kShutdown && controller_.started() && !(csts_ & kShutdownDone)) controller_.begin_shutdown();
    serve();
  }
  void serve() {
    if (!pci()) return;
    if (bus_master()) controller_.serve();
    if (!msix_on()) set_intx(!(masked_ & 1) && controller_.started() && controller_.has_completions());
  }
  void enable(uint32_t cc) {
    memory_ = nacre::sdk::host.memory->acquire(instance());
    if (!(cc & kModes) && disk_.is_open() && controller_.start(MemoryView(memory_), aqa_, asq_, acq_)) {
      csts_ = kReady;
      return;
    }
    disable();
    fatal();
  }
  // Nothing of the guest's is touched any more.
  void disable() {
    if (disk_.is_open()) controller_.stop();
    if (memory_) nacre::sdk::host.memory->release(instance(), std::exchange(memory_, nullptr));
    csts_ = 0;
    if (pci()) set_intx(false);
  }
  // [main] The loop may be another thread's: what it has begun ends there, before the function goes.
  void close() {
    nacre::sdk::host.loop->call(
        nacre::sdk::host.loop->of(instance()),
        [](void* self) noexcept {
          auto& device = *static_cast<NvmeDevice*>(self);
          device.woken_.stop();
          device.disable();
        },
        this);
    detach();
    disk_.close();
    if (wake_fd_ >= 0) ::close(std::exchange(wake_fd_, -1));
  }

  void interrupt(uint32_t vector) override {
    if (msix_on()) notify(vector);
  }
  void fatal() override {
    csts_ |= kFatal;
    log(instance(), NACRE_LOG_WARN, "the guest has given the controller queues that cannot be; it waits for a reset.");
  }
  void shut_down() override { csts_ |= kShutdownDone; }

  Block disk_;
  Doorbells doorbells_;
  Controller controller_;
  Watch woken_;
  int wake_fd_ = -1;
  std::atomic<bool> pending_ = false;
  const nacre_memory_view* memory_ = nullptr;
  std::atomic<uint32_t> cc_ = 0, csts_ = 0, aqa_ = 0, masked_ = 0;
  std::atomic<uint64_t> asq_ = 0, acq_ = 0;
};

constexpr nacre_type kType =
    device_type<NvmeDevice>("nacre-nvme", "pci", "an NVMe disk", kProps, NACRE_TYPE_HOTPLUGGABLE);

}  // namespace
}  // namespace nvme

NACRE_PLUGIN(&nvme::kType);
