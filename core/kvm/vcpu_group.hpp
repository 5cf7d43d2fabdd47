// All vCPUs of a machine, paused and resumed together. Some may come and go while the others run.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <vector>

#include "core/kvm/vcpu_thread.hpp"

namespace nacre::kvm {

// Waits until `done()` is true. The main loop's waiter serves calls of other threads meanwhile.
using Waiter = std::function<void(const std::function<bool()>& done)>;

// Used on the main thread.
class VcpuGroup {
 public:
  // `parked` is called on a vCPU's thread each time it has parked or ended: wake the main loop there.
  VcpuGroup(ExitHandler& handler, GuestReader reader, std::function<void()> parked);
  // stop_and_join().
  ~VcpuGroup();
  VcpuGroup(const VcpuGroup&) = delete;
  VcpuGroup& operator=(const VcpuGroup&) = delete;

  // Gives it a vCPU and starts its thread, parked. The vCPU's index has no thread yet.
  Status add(std::unique_ptr<Vcpu> vcpu);
  // Ends the thread of one vCPU, which stays: KVM cannot remove it. `waiter` as in stop_and_join(). Nothing happens to
  // one that has no thread.
  void take_out(uint32_t index, const Waiter& waiter = {});
  // Starts a thread, parked, for a vCPU that was taken out.
  Status put_back(uint32_t index);
  // Lets one vCPU run.
  void resume(uint32_t index) { threads_[index]->resume(); }

  // Whether the vCPU exists, with a thread (running or parked) or without.
  bool has(uint32_t index) const { return index < vcpus_.size() && vcpus_[index]; }
  // Whether it has a thread: it is one of the machine's.
  bool is_in(uint32_t index) const { return index < threads_.size() && threads_[index]; }
  // Indices are below this number.
  uint32_t end() const { return static_cast<uint32_t>(vcpus_.size()); }
  Vcpu& vcpu(uint32_t index) { return *vcpus_[index]; }
  pid_t thread_id(uint32_t index) const { return threads_[index]->thread_id(); }

  // Asks every vCPU to park, and returns at once.
  void request_pause();
  // True when every one that is in has parked (or ended): no guest code runs, no access is half done.
  bool all_paused() const;
  void resume();
  // Ends every thread; `waiter` waits for them (they may be waiting for the main loop). The vCPUs stay.
  void stop_and_join(const Waiter& waiter = {});

 private:
  ExitHandler& handler_;
  GuestReader reader_;
  std::function<void()> parked_;
  std::vector<std::unique_ptr<Vcpu>> vcpus_;          // by index; NULL: never made
  std::vector<std::unique_ptr<VcpuThread>> threads_;  // by index, as many; NULL: not in
};

}  // namespace nacre::kvm
