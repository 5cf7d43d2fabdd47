// All vCPUs of a machine, paused and resumed together.
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

  // Gives it a vCPU and starts its thread, parked.
  Status add(std::unique_ptr<Vcpu> vcpu);

  size_t size() const { return vcpus_.size(); }
  Vcpu& vcpu(size_t position) { return *vcpus_[position]; }
  pid_t thread_id(size_t position) const { return threads_[position]->thread_id(); }

  // Asks every vCPU to park, and returns at once.
  void request_pause();
  // True when every one has parked (or ended): no guest code runs, no access is half done.
  bool all_paused() const;
  void resume();
  // Ends every thread; `waiter` waits for them (they may be waiting for the main loop). The vCPUs stay.
  void stop_and_join(const Waiter& waiter = {});

 private:
  ExitHandler& handler_;
  GuestReader reader_;
  std::function<void()> parked_;
  std::vector<std::unique_ptr<Vcpu>> vcpus_;
  std::vector<std::unique_ptr<VcpuThread>> threads_;
};

}  // namespace nacre::kvm
