// nacre.pci/1 of the fake host. It refuses what a host refuses.
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nacre/fake/host.hpp>
#include <optional>

#include "tables.hpp"

namespace nacre::fake {
namespace {

constexpr uint32_t kHeaderBytes = 0x40, kConventional = 0x100, kBytes = nacre_pci::kConfigBytes, kCapabilities = 0x34,
                   kBar0 = 0x10;
constexpr uint64_t kPage = 4096;

void put(nacre_pci* pci, uint32_t offset, uint32_t value, uint32_t width) {
  sdk::MutexLock lock(pci->mutex);
  std::memcpy(pci->config.data() + offset, &value, width);
  std::memcpy(pci->first.data() + offset, &value, width);
}

nacre_status make(nacre_instance* instance, const nacre_pci_desc& desc, void* self, nacre_error* slot) {
  if (instance->pci) return say(slot, NACRE_INVALID, "it is a PCI function already.");
  if (desc.flags & NACRE_MUST_UNDERSTAND & ~uint32_t{NACRE_PCI_EXPRESS})
    return say(slot, NACRE_UNSUPPORTED, "a flag of the function is unknown.");
  if (desc.vendor_id == 0xffff || desc.class_code >> 24 || desc.interrupt_pin > 4)
    return say(slot, NACRE_INVALID, "the identity of the function cannot be.");
  instance->pci = std::make_unique<nacre_pci>(instance, desc, self);
  return NACRE_OK;
}

nacre_status root_port(nacre_instance* instance, const nacre_pci_port* port, nacre_error* slot) noexcept {
  main_only("pci.root_port");
  nacre_pci_desc desc{};
  desc.vendor_id = port->vendor_id;
  desc.device_id = port->device_id;
  desc.class_code = 0x060400;
  const nacre_status made = make(instance, desc, nullptr, slot);
  if (made == NACRE_OK) instance->pci_port = true;
  return made;
}

nacre_status capability(nacre_pci* pci, const nacre_pci_capability* wanted, uint32_t* offset,
                        nacre_error* slot) noexcept {
  main_only("pci.capability");
  const bool extended = wanted->kind == NACRE_PCI_EXTENDED_CAPABILITY, listed = wanted->kind != NACRE_PCI_REGISTERS;
  const uint32_t header = !listed    ? 0
                          : extended ? 4
                                     : 2,
                 end = wanted->kind == NACRE_PCI_CAPABILITY ? kConventional : kBytes;
  if (wanted->kind < NACRE_PCI_CAPABILITY || wanted->kind > NACRE_PCI_REGISTERS)
    return say(slot, NACRE_UNSUPPORTED, "the kind of a capability is unknown.");
  uint32_t at = wanted->offset;
  if (!at && listed) at = extended ? pci->next_extended : pci->next;
  if (at < (extended ? kConventional : kHeaderBytes) || at % 4 || wanted->length <= header ||
      wanted->length > end - at || at > end || wanted->id > (extended ? 0xffffu : 0xffu))
    return say(slot, NACRE_INVALID, "a capability cannot be where it is to be.");
  for (uint32_t i = 0; i < wanted->length; ++i)
    if (pci->own[at + i]) return say(slot, NACRE_INVALID, "a capability overlaps another.");
  for (uint32_t i = 0; i < wanted->length; ++i) {
    pci->own[at + i] = true;
    if (i < header) continue;
    if (wanted->content) put(pci, at + i, wanted->content[i], 1);
    if (wanted->writable) pci->writable[at + i] = wanted->writable[i];
    if (wanted->clears) pci->clears[at + i] = wanted->clears[i];
  }
  if (wanted->kind == NACRE_PCI_CAPABILITY) {
    put(pci, at, wanted->id, 1);
    put(pci, pci->last ? pci->last + 1 : kCapabilities, at, 1);
    put(pci, 0x06, 1 << 4, 2);
    pci->last = at;
    pci->next = std::max(pci->next, (at + wanted->length + 3) & ~3u);
  } else if (extended) {
    put(pci, at, wanted->id | wanted->version << 16, 4);
    if (pci->last_extended) put(pci, pci->last_extended + 2, at << 4, 2);
    pci->last_extended = at;
    pci->next_extended = std::max(pci->next_extended, (at + wanted->length + 3) & ~3u);
  }
  if (offset) *offset = at;
  return NACRE_OK;
}

nacre_status attach(nacre_instance* instance, const nacre_pci_desc* desc, void* self, nacre_pci** pci,
                    nacre_error* slot) noexcept {
  main_only("pci.attach");
  const nacre_status made = make(instance, *desc, self, slot);
  if (made == NACRE_OK) *pci = instance->pci.get();
  if (made != NACRE_OK || !(desc->flags & NACRE_PCI_EXPRESS)) return made;
  nacre_pci_capability express{};  // PCIe 5.0 7.5.3
  express.size = sizeof express;
  express.kind = NACRE_PCI_CAPABILITY;
  express.id = 0x10;
  express.length = 0x3c;
  return capability(*pci, &express, nullptr, slot);
}

void detach(nacre_pci* pci) noexcept {
  main_only("pci.detach");
  pci->instance->pci.reset();
}

nacre_status bar(nacre_pci* pci, const nacre_pci_bar* bar, nacre_error* slot) noexcept {
  main_only("pci.bar");
  const bool io = bar->kind == NACRE_PCI_BAR_IO, wide = bar->kind == NACRE_PCI_BAR_MEMORY64;
  if (bar->kind < NACRE_PCI_BAR_MEMORY32 || bar->kind > NACRE_PCI_BAR_IO)
    return say(slot, NACRE_UNSUPPORTED, "the kind of a BAR is unknown.");
  if (bar->index + (wide ? 1 : 0) >= pci->bars.size() || pci->bars[bar->index] || pci->bar_kinds[bar->index] ||
      (wide && pci->bar_kinds[bar->index + 1]))
    return say(slot, NACRE_INVALID, "a BAR is taken already, or not there.");
  if (bar->length < (io ? 4u : 16u) || bar->length & (bar->length - 1) || (io && bar->length > 256))
    return say(slot, NACRE_INVALID, "the length of a BAR is no power of two, or too small or large.");
  auto made = std::make_unique<nacre_mmio_region>(
      nacre_mmio_region{pci->instance, io ? NACRE_SPACE_PIO : NACRE_SPACE_MMIO, 0, bar->length, {}, bar->opaque, {}});
  if (bar->ops) std::memcpy(&made->ops, bar->ops, std::min<size_t>(bar->ops->size, sizeof made->ops));
  pci->bars[bar->index] = std::move(made);
  pci->bar_kinds[bar->index] = bar->kind;
  const uint32_t at = kBar0 + 4 * bar->index;
  const uint64_t mask = ~(bar->length - 1) & (io ? ~uint64_t{3} : ~uint64_t{15});
  put(pci, at, (io ? 1 : 0) | (wide ? 4 : 0) | (bar->flags & NACRE_PCI_BAR_PREFETCHABLE ? 8 : 0), 4);
  std::memcpy(pci->writable.data() + at, &mask, wide ? 8 : 4);
  if (wide) pci->bar_kinds[bar->index + 1] = bar->kind;
  return NACRE_OK;
}

nacre_status bar_memory(nacre_pci* pci, const nacre_pci_memory* memory, nacre_error* slot) noexcept {
  main_only("pci.bar_memory");
  if (memory->bar >= pci->bars.size() || !pci->bars[memory->bar] || memory->length == 0 ||
      (memory->offset | memory->length | memory->fd_offset) % kPage ||
      memory->offset > pci->bars[memory->bar]->length ||
      memory->length > pci->bars[memory->bar]->length - memory->offset)
    return say(slot, NACRE_INVALID, "memory is not inside a BAR, in whole pages.");
  struct stat file;
  if (::fstat(memory->fd, &file) < 0 ||
      (S_ISREG(file.st_mode) && memory->fd_offset + memory->length > static_cast<uint64_t>(file.st_size)))
    return say(slot, NACRE_INVALID, "the file behind a BAR is too short, or none.");
  const int protection = memory->flags & NACRE_PCI_MEMORY_READONLY ? PROT_READ : PROT_READ | PROT_WRITE;
  void* mapped =
      ::mmap(nullptr, memory->length, protection, MAP_SHARED, memory->fd, static_cast<off_t>(memory->fd_offset));
  if (mapped == MAP_FAILED) return say(slot, NACRE_IO, "the file behind a BAR cannot be mapped.");
  pci->memories.push_back({*memory, static_cast<uint8_t*>(mapped)});
  return NACRE_OK;
}

nacre_status bar_event(nacre_pci* pci, uint32_t bar, uint64_t offset, uint32_t width, uint8_t match, uint64_t value,
                       int32_t* fd, nacre_error* slot) noexcept {
  main_only("pci.bar_event");
  if (bar >= pci->bars.size() || !pci->bars[bar] || offset >= pci->bars[bar]->length ||
      width > pci->bars[bar]->length - offset || width > 8 || width & (width - 1) || (match && !width))
    return say(slot, NACRE_INVALID, "an event is not inside a BAR.");
  *fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  pci->events.push_back({bar, offset, width, match != 0, value, *fd});
  return NACRE_OK;
}

nacre_status msix(nacre_pci* pci, uint32_t index, uint32_t vectors, nacre_error* slot) noexcept {
  main_only("pci.msix");
  if (pci->vectors || vectors < 1 || vectors > 2048)
    return say(slot, NACRE_INVALID, "MSI-X is there already, or has too few or many vectors.");
  nacre_pci_bar table{};
  table.size = sizeof table;
  table.index = index;
  table.kind = NACRE_PCI_BAR_MEMORY32;
  table.length = kPage;
  while (table.length < uint64_t{vectors} * 32) table.length *= 2;
  if (const nacre_status made = bar(pci, &table, slot); made != NACRE_OK) return made;
  pci->bars[index].reset();  // the device has no part in it
  const uint32_t half = static_cast<uint32_t>(table.length / 2);
  uint8_t content[12] = {}, writable[12] = {};
  content[2] = static_cast<uint8_t>(vectors - 1), content[3] = static_cast<uint8_t>((vectors - 1) >> 8);
  content[4] = static_cast<uint8_t>(index);
  std::memcpy(content + 8, &half, sizeof half);
  content[8] = static_cast<uint8_t>(content[8] | index);
  writable[3] = 0xc0;
  nacre_pci_capability wanted{};
  wanted.size = sizeof wanted;
  wanted.kind = NACRE_PCI_CAPABILITY;
  wanted.id = 0x11;
  wanted.length = sizeof content;
  wanted.content = content;
  wanted.writable = writable;
  const nacre_status added = capability(pci, &wanted, &pci->msix_at, slot);
  if (added != NACRE_OK) return added;
  pci->sent = std::make_unique<std::atomic<uint64_t>[]>(vectors);
  pci->vectors = vectors;
  return NACRE_OK;
}

nacre_status vector_fd(nacre_pci* pci, uint32_t vector, int32_t* fd, nacre_error* slot) noexcept {
  main_only("pci.vector_fd");
  if (vector >= pci->vectors) return say(slot, NACRE_INVALID, "there is no such vector.");
  auto [entry, made] = pci->vector_fds.try_emplace(vector, -1);
  if (made) entry->second = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  *fd = entry->second;
  return NACRE_OK;
}

void notify(nacre_pci* pci, uint32_t vector) noexcept {
  if (vector < pci->vectors && pci->state & NACRE_PCI_MSIX_ON) ++pci->sent[vector];
}
void set_intx(nacre_pci* pci, uint32_t level) noexcept {
  if (level > 1) offend("pci.set_intx with a level that is neither 0 nor 1");
  pci->intx_level = level != 0;
}
uint32_t state(nacre_pci* pci) noexcept {
  return pci->state;
}
// Both take the lock where their caller does not hold it, which the analysis cannot follow.
nacre_status read_config(nacre_pci* pci, uint32_t offset, void* to,
                         uint32_t length) noexcept NACRE_NO_THREAD_SAFETY_ANALYSIS {
  if (offset > kBytes || length > kBytes - offset) return NACRE_INVALID;
  std::optional<sdk::MutexLock> lock;
  if (!pci->is_told()) lock.emplace(pci->mutex);
  std::memcpy(to, pci->config.data() + offset, length);
  return NACRE_OK;
}
nacre_status write_config(nacre_pci* pci, uint32_t offset, const void* from,
                          uint32_t length) noexcept NACRE_NO_THREAD_SAFETY_ANALYSIS {
  if (offset > kBytes || length > kBytes - offset) return NACRE_INVALID;
  for (uint32_t i = 0; i < length; ++i)
    if (!pci->own[offset + i]) return NACRE_INVALID;
  std::optional<sdk::MutexLock> lock;
  if (!pci->is_told()) lock.emplace(pci->mutex);
  std::memcpy(pci->config.data() + offset, from, length);
  return NACRE_OK;
}

}  // namespace

const nacre_pci_v1 kPci{sizeof(nacre_pci_v1), 0,    root_port, attach, detach,   bar,   bar_memory,  bar_event,
                        capability,           msix, vector_fd, notify, set_intx, state, read_config, write_config};

}  // namespace nacre::fake
