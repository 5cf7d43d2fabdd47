#include "core/vm/bar_memory.hpp"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace nacre {
namespace {

constexpr uint32_t kFirstSlot = 256;  // far above what RAM takes; every kernel that counts has more
constexpr uint64_t kPage = 4096;

}  // namespace

BarSlots::BarSlots(kvm::Vm& vm)
    : vm_(vm), end_(static_cast<uint32_t>(std::max(vm.check_extension(KVM_CAP_NR_MEMSLOTS), 0))), next_(kFirstSlot) {}

std::optional<uint32_t> BarSlots::take() {
  if (!free_.empty()) {
    const uint32_t slot = free_.back();
    free_.pop_back();
    return slot;
  }
  if (next_ >= end_) return {};
  return next_++;
}

void BarSlots::give_back(uint32_t slot) {
  free_.push_back(slot);
}

Result<std::unique_ptr<BarMemory>> BarMemory::create(BarSlots& slots, const nacre_pci_memory& wanted) {
  if (wanted.offset % kPage || wanted.length % kPage || wanted.fd_offset % kPage || wanted.length == 0)
    return fail(
        "memory behind a BAR begins and ends at multiples of {} bytes; {:#x} bytes at {:#x}, {:#x} of the file "
        "do not.",
        kPage, wanted.length, wanted.offset, wanted.fd_offset);
  struct stat file;
  if (::fstat(wanted.fd, &file) < 0)
    return fail("descriptor {} for memory behind a BAR is of no use: {}.", wanted.fd, strerror(errno));
  // Beyond the end of a file the guest's access would fail where nobody can answer it.
  const auto bytes = static_cast<uint64_t>(file.st_size);
  if (S_ISREG(file.st_mode) && (wanted.fd_offset > bytes || wanted.length > bytes - wanted.fd_offset))
    return fail("descriptor {} for memory behind a BAR has {:#x} bytes, too few for {:#x} at {:#x}.", wanted.fd, bytes,
                wanted.length, wanted.fd_offset);
  auto memory = std::unique_ptr<BarMemory>(new BarMemory(slots, wanted));
  const int protection = wanted.flags & NACRE_PCI_MEMORY_READONLY ? PROT_READ : PROT_READ | PROT_WRITE;
  void* mapped =
      ::mmap(nullptr, wanted.length, protection, MAP_SHARED, wanted.fd, static_cast<off_t>(wanted.fd_offset));
  if (mapped == MAP_FAILED)
    return fail("descriptor {} cannot be mapped as memory behind a BAR: {}.", wanted.fd, strerror(errno));
  memory->mapped_ = mapped;
  memory->slot_ = slots.take();
  if (!memory->slot_) return fail("the kernel has no slot left for memory behind a BAR.");
  return memory;
}

BarMemory::~BarMemory() {
  follow({});
  if (slot_) slots_.give_back(*slot_);
  if (mapped_) ::munmap(mapped_, what_.length);
}

void BarMemory::follow(std::optional<uint64_t> base) {
  if (shown_ && !base) {
    (void)slots_.vm().set_memory_slot(*slot_, 0, 0, nullptr);
    shown_ = false;
  } else if (!shown_ && base) {
    const uint32_t flags = what_.flags & NACRE_PCI_MEMORY_READONLY ? KVM_MEM_READONLY : 0;
    Status shown = slots_.vm().set_memory_slot(*slot_, *base + what_.offset, what_.length, mapped_, flags);
    shown_ = bool(shown);
    if (!shown) hidden_.warn("pci", "memory behind a BAR at {:#x}: {}", *base, shown.error().message);
  }
}

}  // namespace nacre
