#include "core/kvm/x86_64/cpuid.hpp"

#include <cpuid.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "core/kvm/flexible.hpp"

namespace nacre::kvm {
namespace {

using Entries = std::vector<kvm_cpuid_entry2>;

// The numbers of a socket, and the widths of their fields in an APIC id.
struct Shape {
  uint32_t threads;  // of a core
  uint32_t per_die;  // threads of a die
  uint32_t per_socket;
  uint32_t thread_bits;
  uint32_t die_bits;     // bits below the die's number
  uint32_t socket_bits;  // bits below the socket's number
};

uint32_t bits_for(uint32_t count) {
  return static_cast<uint32_t>(std::bit_width(count - 1));
}

Shape shape_of(const CpuTopology& topology) {
  Shape shape{};
  shape.threads = std::max(1u, topology.threads);
  shape.per_die = shape.threads * std::max(1u, topology.cores);
  shape.per_socket = shape.per_die * std::max(1u, topology.dies);
  shape.thread_bits = bits_for(shape.threads);
  shape.die_bits = shape.thread_bits + bits_for(std::max(1u, topology.cores));
  shape.socket_bits = shape.die_bits + bits_for(std::max(1u, topology.dies));
  return shape;
}

// Replaces bits [low, low + width) of a register.
void put(uint32_t& word, uint32_t low, uint32_t width, uint32_t value) {
  const uint32_t mask = ((1u << width) - 1) << low;
  word = (word & ~mask) | ((value << low) & mask);
}

uint32_t max_leaf(const Entries& entries, uint32_t base) {
  for (const auto& entry : entries)
    if (entry.function == base) return entry.eax;
  return 0;
}

bool is_amd(const Entries& entries) {
  constexpr uint32_t kHygon = 0x6f677948;  // "Hygo", whose processors are AMD's kind
  for (const auto& entry : entries)
    if (entry.function == 0) return entry.ebx == signature_AMD_ebx || entry.ebx == kHygon;
  return false;
}

// Leaf 0xb (Intel SDM volume 2, CPUID) has threads and cores; leaf 0x1f also dies. A level's EAX is the width of the
// part of the APIC id up to and with it, EBX the threads in one unit of it.
void extended_topology(Entries& entries, uint32_t function, uint32_t apic_id, const Shape& shape) {
  enum LevelType : uint32_t { kNone = 0, kThread = 1, kCore = 2, kDie = 5 };
  std::erase_if(entries, [function](const auto& entry) { return entry.function == function; });
  auto level = [&](uint32_t index, uint32_t type, uint32_t bits, uint32_t count) {
    kvm_cpuid_entry2 entry{};
    entry.function = function;
    entry.index = index;
    entry.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
    entry.eax = bits;
    entry.ebx = count;
    entry.ecx = index | type << 8;
    entry.edx = apic_id;
    entries.push_back(entry);
  };
  level(0, kThread, shape.thread_bits, shape.threads);
  if (function == 0x1f) {
    level(1, kCore, shape.die_bits, shape.per_die);
    level(2, kDie, shape.socket_bits, shape.per_socket);
    level(3, kNone, 0, 0);
  } else {
    level(1, kCore, shape.socket_bits, shape.per_socket);
    level(2, kNone, 0, 0);
  }
}

// Leaves 4 (Intel) and 0x8000001d (AMD): how many threads share a cache. The first two levels are a core's own.
void cache_sharing(kvm_cpuid_entry2& entry, const Shape& shape) {
  if ((entry.eax & 31) == 0) return;  // no more caches
  const uint32_t level = entry.eax >> 5 & 7;
  const uint32_t bits = level <= 2 ? shape.thread_bits : shape.die_bits;
  put(entry.eax, 14, 12, (1u << bits) - 1);
  if (entry.function == 4) put(entry.eax, 26, 6, std::min(63u, (1u << (shape.socket_bits - shape.thread_bits)) - 1));
}

void feature_leaf(kvm_cpuid_entry2& entry, uint32_t apic_id, const Shape& shape, bool tsc_deadline_timer) {
  constexpr uint32_t kHypervisor = 1u << 31, kTscDeadline = 1u << 24, kHtt = 1u << 28;
  put(entry.ebx, 24, 8, apic_id);
  put(entry.ebx, 16, 8, std::min(255u, 1u << shape.socket_bits));
  entry.ecx |= kHypervisor;
  if (tsc_deadline_timer) entry.ecx |= kTscDeadline;
  entry.edx = shape.per_socket > 1 ? entry.edx | kHtt : entry.edx & ~kHtt;
}

// AMD APM volume 3, appendix E.4.
void amd_leaf(kvm_cpuid_entry2& entry, uint32_t apic_id, const Shape& shape, uint32_t dies) {
  constexpr uint32_t kCmpLegacy = 1u << 1;
  switch (entry.function) {
    case 0x80000001:
      entry.ecx = shape.per_socket > 1 ? entry.ecx | kCmpLegacy : entry.ecx & ~kCmpLegacy;
      break;
    case 0x80000008:
      put(entry.ecx, 0, 8, std::min(255u, shape.per_socket - 1));
      put(entry.ecx, 12, 4, shape.socket_bits);
      break;
    case 0x8000001e:
      entry.eax = apic_id;
      entry.ebx = 0;
      put(entry.ebx, 0, 8, (apic_id >> shape.thread_bits) & ((1u << (shape.socket_bits - shape.thread_bits)) - 1));
      put(entry.ebx, 8, 8, shape.threads - 1);
      entry.ecx = 0;
      put(entry.ecx, 0, 8, apic_id >> shape.die_bits);
      put(entry.ecx, 8, 3, dies - 1);
      entry.edx = 0;
      break;
    default:
      break;
  }
}

void put_entry(Entries& entries, const kvm_cpuid_entry2& wanted) {
  for (auto& entry : entries)
    if (entry.function == wanted.function && entry.index == wanted.index) {
      entry = wanted;
      return;
    }
  entries.push_back(wanted);
}

}  // namespace

Result<std::vector<kvm_cpuid_entry2>> supported_cpuid(const Kvm& kvm) {
  for (uint32_t count = 128; count <= 4096; count *= 2) {
    Counted<kvm_cpuid_entry2> cpuid(count);
    if (::ioctl(kvm.fd(), kGetSupportedCpuid, cpuid.get()) < 0) {
      if (errno == E2BIG) continue;
      return ioctl_error("asking for the CPUID that KVM supports (KVM_GET_SUPPORTED_CPUID)");
    }
    Entries entries(cpuid.entries(), cpuid.entries() + cpuid.count());
    // The brand string, which KVM leaves out.
    if (max_leaf(entries, 0x80000000) >= 0x80000004)
      for (uint32_t function = 0x80000002; function <= 0x80000004; ++function) {
        kvm_cpuid_entry2 entry{};
        entry.function = function;
        if (__get_cpuid(function, &entry.eax, &entry.ebx, &entry.ecx, &entry.edx)) put_entry(entries, entry);
      }
    return entries;
  }
  return fail("KVM supports more CPUID leaves than can be true: it asks for room for over 4096.");
}

std::vector<kvm_cpuid_entry2> guest_cpuid(std::vector<kvm_cpuid_entry2> entries, uint32_t index,
                                          const CpuTopology& topology, bool tsc_deadline_timer) {
  const Shape shape = shape_of(topology);
  const bool amd = is_amd(entries);
  for (auto& entry : entries) {
    switch (entry.function) {
      case 1:
        feature_leaf(entry, index, shape, tsc_deadline_timer);
        break;
      case 4:
      case 0x8000001d:
        cache_sharing(entry, shape);
        break;
      case 6:
        entry.ecx &= ~(1u << 3);  // the energy-performance bias: its MSR is the host's
        break;
      default:
        if (amd) amd_leaf(entry, index, shape, std::max(1u, topology.dies));
        break;
    }
  }
  const uint32_t highest = max_leaf(entries, 0);
  for (uint32_t function : {0xbu, 0x1fu})
    if (highest >= function) extended_topology(entries, function, index, shape);
  return entries;
}

Status set_cpuid(Vcpu& vcpu, const std::vector<kvm_cpuid_entry2>& entries) {
  Counted<kvm_cpuid_entry2> cpuid(entries.size());
  std::copy(entries.begin(), entries.end(), cpuid.entries());
  if (::ioctl(vcpu.fd(), kSetCpuid2, cpuid.get()) < 0)
    return fail("setting the CPUID of vCPU {} (KVM_SET_CPUID2, {} entries) failed: {}.", vcpu.index(), entries.size(),
                strerror(errno));
  return {};
}

}  // namespace nacre::kvm
