// The guest's side of a fake PCI function.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nacre/fake/instance.hpp>
#include <nacre/fake/pci.hpp>
#include <utility>

namespace {

// Offsets of the header and their bits, PCI 3.0 6.1 and 6.2.
constexpr uint32_t kCommand = 0x04;
constexpr uint16_t kIo = 1, kMemory = 2, kBusMaster = 4;
constexpr uint16_t kMsixEnable = 1 << 15;

uint32_t ones(uint32_t width) {
  return width >= 4 ? UINT32_MAX : (1u << (8 * width)) - 1;
}

// The function whose config_written() the thread is in.
thread_local const nacre_pci* t_told = nullptr;

}  // namespace

nacre_pci::nacre_pci(nacre_instance* owner, const nacre_pci_desc& desc, void* its_self)
    : instance(owner), self(its_self) {
  if (desc.ops) std::memcpy(&ops, desc.ops, std::min<size_t>(desc.ops->size, sizeof ops));
  auto put = [&](uint32_t offset, const auto& value) { std::memcpy(first.data() + offset, &value, sizeof value); };
  put(0x00, desc.vendor_id);
  put(0x02, desc.device_id);
  put(0x08, desc.class_code << 8 | desc.revision);
  put(0x2c, desc.subsystem_vendor_id);
  put(0x2e, desc.subsystem_id);
  put(0x3d, desc.interrupt_pin);
  config = first;
  writable[kCommand] = kIo | kMemory | kBusMaster;
  writable[kCommand + 1] = 4;  // Interrupt Disable
  writable[0x3c] = 0xff;
}

nacre_pci::~nacre_pci() {
  for (const Memory& memory : memories) ::munmap(memory.mapped, memory.what.length);
  for (const Event& event : events) ::close(event.fd);
  for (const auto& [vector, fd] : vector_fds) ::close(fd);
}

uint32_t nacre_pci::read_config(uint32_t offset, uint32_t width) {
  if (width > 4 || offset > kConfigBytes - width) return ones(width);
  nacre::sdk::MutexLock lock(mutex);
  uint32_t value = 0;
  std::memcpy(&value, config.data() + offset, width);
  return value;
}

void nacre_pci::write_config(uint32_t offset, uint32_t width, uint32_t value) {
  if (width > 4 || offset > kConfigBytes - width) return;
  nacre::sdk::MutexLock lock(mutex);
  for (uint32_t i = 0; i < width; ++i) {
    const auto byte = static_cast<uint8_t>(value >> (8 * i));
    uint8_t& now = config[offset + i];
    now = static_cast<uint8_t>(((now & ~writable[offset + i]) | (byte & writable[offset + i])) &
                               ~(byte & clears[offset + i]));
  }
  follow();
  tell(offset, width);
}

void nacre_pci::enable() {
  write_config(kCommand, 2, kIo | kMemory | kBusMaster);
  if (msix_at) write_config(msix_at + 2, 2, read_config(msix_at + 2, 2) | kMsixEnable);
}

void nacre_pci::reset_config() {
  nacre::sdk::MutexLock lock(mutex);
  config = first;
  intx_level = false;
  for (uint32_t i = 0; i < vectors; ++i) sent[i] = 0;
  for (const auto& [vector, fd] : vector_fds) {
    uint64_t count;
    [[maybe_unused]] ssize_t drained = ::read(fd, &count, sizeof count);
  }
  follow();
  tell(0, kConfigBytes);
}

void nacre_pci::follow() {
  uint32_t now = 0;
  if (config[kCommand] & kBusMaster) now |= NACRE_PCI_BUS_MASTER;
  if (config[kCommand] & kMemory) now |= NACRE_PCI_MEMORY_ON;
  if (config[kCommand] & kIo) now |= NACRE_PCI_IO_ON;
  if (msix_at && config[msix_at + 3] & kMsixEnable >> 8) now |= NACRE_PCI_MSIX_ON;
  state = now;
}

void nacre_pci::tell(uint32_t offset, uint32_t width) {
  const nacre_pci* before = std::exchange(t_told, this);
  if (ops.config_written) ops.config_written(self, config.data(), offset, width);
  t_told = before;
}

bool nacre_pci::is_told() const {
  return t_told == this;
}

uint64_t nacre_pci::read(uint32_t bar, uint64_t offset, uint32_t width) {
  if (bar >= bars.size() || !bars[bar] || width > bars[bar]->length || offset > bars[bar]->length - width)
    return UINT64_MAX;
  for (const Memory& memory : memories) {
    if (memory.what.bar != bar || offset < memory.what.offset) continue;
    if (offset + width > memory.what.offset + memory.what.length) continue;
    uint64_t value = 0;
    std::memcpy(&value, memory.mapped + (offset - memory.what.offset), width);
    return value;
  }
  const nacre_mmio_ops& to = bars[bar]->ops;
  return to.read ? to.read(bars[bar]->opaque, offset, width) : 0;
}

void nacre_pci::write(uint32_t bar, uint64_t offset, uint32_t width, uint64_t value) {
  if (bar >= bars.size() || !bars[bar] || width > bars[bar]->length || offset > bars[bar]->length - width) return;
  for (const Event& event : events) {
    if (event.bar != bar || event.offset != offset || (event.width && event.width != width)) continue;
    if (event.match && event.value != value) continue;
    const uint64_t one = 1;
    [[maybe_unused]] ssize_t written = ::write(event.fd, &one, sizeof one);
    return;
  }
  for (const Memory& memory : memories) {
    if (memory.what.bar != bar || offset < memory.what.offset || memory.what.flags & NACRE_PCI_MEMORY_READONLY)
      continue;
    if (offset + width > memory.what.offset + memory.what.length) continue;
    std::memcpy(memory.mapped + (offset - memory.what.offset), &value, width);
    return;
  }
  const nacre_mmio_ops& to = bars[bar]->ops;
  if (to.write) to.write(bars[bar]->opaque, offset, width, value);
}

uint64_t nacre_pci::interrupts(uint32_t vector) {
  if (vector >= vectors) return 0;
  if (auto fd = vector_fds.find(vector); fd != vector_fds.end()) {
    uint64_t count = 0;
    if (::read(fd->second, &count, sizeof count) == sizeof count) sent[vector] += count;
  }
  return sent[vector];
}
