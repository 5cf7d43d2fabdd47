// What a vCPU asks of the machine around it, and what it reports when it cannot go on.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/kvm/vcpu.hpp"

namespace nacre::kvm {

// Why a vCPU cannot run.
struct Report {
  enum class Kind { Emulation, InternalError, FailEntry, UnknownExit, RunFailed };

  Kind kind = Kind::InternalError;
  uint32_t vcpu = 0;
  uint64_t code = 0;  // suberror, hardware entry failure reason, exit reason or errno, by kind
  uint64_t rip = 0;
  uint32_t mode = 0;           // 16, 32 or 64 bits; 0 when the registers could not be read
  uint32_t cpl = 0;            // privilege level
  std::vector<uint8_t> bytes;  // of the instruction at rip; empty when they could not be read
  std::string text;            // all of it in one sentence
};

// Copies guest memory; false when it is not RAM.
using GuestReader = std::function<bool(uint64_t gpa, void* to, uint64_t length)>;

// Describes an exit that ends a vCPU (KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_FAIL_ENTRY, an unknown one, or a failing
// KVM_RUN when `run_errno` is not 0). On the vCPU's thread.
Report make_report(const Vcpu& vcpu, int run_errno, const GuestReader& reader);

// The answers to exits. Every function is called on the thread of vCPU `vcpu`, on several at once, and must not wait
// for a lock that its owner holds while waiting for a vCPU. `width` is 1, 2 or 4 bytes for ports; for memory any number
// from 1 to 8 (an access that crosses a page comes in parts); values are in the low bits.
class ExitHandler {
 public:
  virtual ~ExitHandler() = default;
  virtual uint64_t mmio_read(uint32_t vcpu, uint64_t gpa, uint32_t width) = 0;
  virtual void mmio_write(uint32_t vcpu, uint64_t gpa, uint32_t width, uint64_t value) = 0;
  virtual uint64_t pio_read(uint32_t vcpu, uint16_t port, uint32_t width) = 0;
  virtual void pio_write(uint32_t vcpu, uint16_t port, uint32_t width, uint64_t value) = 0;
  // A triple fault. The vCPU stays parked until VcpuGroup::resume().
  virtual void shutdown(uint32_t vcpu) = 0;
  // KVM_EXIT_SYSTEM_EVENT: `type` is KVM_SYSTEM_EVENT_*. The vCPU stays parked until VcpuGroup::resume().
  virtual void system_event(uint32_t vcpu, uint32_t type, uint64_t flags) = 0;
  // The vCPU cannot go on; it stays parked, and tries again after VcpuGroup::resume().
  virtual void internal_error(const Report& report) = 0;
};

}  // namespace nacre::kvm
