#include "core/virtio/mmio_window.hpp"

#include <sys/mman.h>

#include <bit>
#include <cstring>

namespace nacre::virtio {

Result<std::unique_ptr<MmioWindow>> MmioWindow::create(kvm::Vm* vm, uint32_t memslot, AddressSpace& space,
                                                       GuestMemory& memory, uint64_t base, uint32_t stride,
                                                       uint32_t slots) {
  constexpr uint64_t kPage = GuestMemory::kPageSize;
  if (base % kPage || !std::has_single_bit(stride) || stride < kMmioSlotBytes || slots == 0 || slots > 4096)
    return fail("the machine asks for {} virtio-mmio slots of {:#x} bytes at {:#x}; this is a defect of the plugin.",
                slots, stride, base);
  auto window = std::unique_ptr<MmioWindow>(new MmioWindow(vm, memslot, space));
  window->base_ = base;
  window->stride_ = stride;
  uint64_t bytes = uint64_t{stride} * slots;
  window->mapped_ = (bytes + kPage - 1) / kPage * kPage;
  void* mapping = ::mmap(nullptr, window->mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return fail("no memory for the virtio-mmio registers: {}.", strerror(errno));
  window->memory_ = static_cast<uint8_t*>(mapping);
  for (uint32_t i = 0; i < slots; ++i)
    window->slots_.push_back(std::make_unique<MmioTransport>(vm, memory, window->memory_ + uint64_t{stride} * i,
                                                             base + uint64_t{stride} * i));
  nacre_mmio_ops ops{sizeof ops, 0, on_read, on_write};
  Result<BusRegion*> claimed = space.claim(base, window->mapped_, 0, ops, window.get(), "virtio-mmio");
  if (!claimed) return claimed.error();
  window->region_ = *claimed;
  if (vm) {
    Status mapped = vm->set_memory_slot(memslot, base, window->mapped_, mapping, KVM_MEM_READONLY);
    if (!mapped) return mapped.error();
  }
  return window;
}

MmioWindow::~MmioWindow() {
  slots_.clear();
  if (region_) space_.release(region_);
  if (vm_ && memory_) (void)vm_->set_memory_slot(memslot_, base_, 0, nullptr);
  if (memory_) ::munmap(memory_, mapped_);
}

MmioTransport* MmioWindow::slot_at(uint64_t base) {
  uint64_t offset = base - base_;
  return base >= base_ && offset % stride_ == 0 && offset / stride_ < slots_.size() ? slots_[offset / stride_].get()
                                                                                    : nullptr;
}

void MmioWindow::reset() {
  for (auto& slot : slots_) slot->reset();
}

// Reads come here only where the guest could not be given the memory itself.
uint64_t MmioWindow::on_read(void* self, uint64_t offset, uint32_t width) noexcept {
  auto* window = static_cast<MmioWindow*>(self);
  uint64_t value = 0;
  if (offset <= window->mapped_ - width) std::memcpy(&value, window->memory_ + offset, width);
  return value;
}

void MmioWindow::on_write(void* self, uint64_t offset, uint32_t width, uint64_t value) noexcept {
  auto* window = static_cast<MmioWindow*>(self);
  uint64_t slot = offset / window->stride_;
  uint64_t inside = offset % window->stride_;
  if (slot < window->slots_.size() && inside < kMmioSlotBytes)
    window->slots_[slot]->write(static_cast<uint32_t>(inside), width, value);
}

}  // namespace nacre::virtio
