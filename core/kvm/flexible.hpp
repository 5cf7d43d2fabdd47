// KVM's structures that end in an array of variable length, and the requests that take them.
//
// In C++ the kernel headers of Linux 6.0 to 6.5 give such a structure a byte for an empty member before the array, and
// so a wrong size, wrong offsets and, as a request's number holds the size, wrong requests. These are right with any.
#pragma once

#include <linux/ioctl.h>
#include <linux/kvm.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace nacre::kvm {

struct CountHead {
  uint32_t count;
  uint32_t flags;
};
struct XsaveArea {
  uint32_t words[1024];
};

inline constexpr unsigned long kGetMsrIndexList = _IOWR(KVMIO, 0x02, uint32_t);
inline constexpr unsigned long kGetSupportedCpuid = _IOWR(KVMIO, 0x05, CountHead);
inline constexpr unsigned long kSetGsiRouting = _IOW(KVMIO, 0x6a, CountHead);
inline constexpr unsigned long kGetMsrs = _IOWR(KVMIO, 0x88, CountHead);
inline constexpr unsigned long kSetMsrs = _IOW(KVMIO, 0x89, CountHead);
inline constexpr unsigned long kSetCpuid2 = _IOW(KVMIO, 0x90, CountHead);
inline constexpr unsigned long kGetXsave = _IOR(KVMIO, 0xa4, XsaveArea);
inline constexpr unsigned long kSetXsave = _IOW(KVMIO, 0xa5, XsaveArea);

// A head that counts `count` zeroed entries, and they behind it: kvm_cpuid2, kvm_msrs, kvm_irq_routing.
template <typename Entry>
class Counted {
 public:
  explicit Counted(size_t count) : memory_(std::calloc(1, sizeof(CountHead) + count * sizeof(Entry))) {
    if (!memory_) throw std::bad_alloc();
    head()->count = static_cast<uint32_t>(count);
  }
  void* get() { return memory_.get(); }
  uint32_t count() { return head()->count; }
  Entry* entries() { return reinterpret_cast<Entry*>(static_cast<char*>(memory_.get()) + sizeof(CountHead)); }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  CountHead* head() { return static_cast<CountHead*>(memory_.get()); }
  std::unique_ptr<void, Free> memory_;
};

}  // namespace nacre::kvm
