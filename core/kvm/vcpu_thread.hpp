// The thread of one vCPU: runs it, hands its exits to an ExitHandler, parks when asked.
#pragma once

#include <pthread.h>
#include <sys/types.h>

#include <atomic>
#include <functional>
#include <memory>

#include "core/base/mutex.hpp"
#include "core/kvm/exit_handler.hpp"
#include "core/kvm/vcpu.hpp"

namespace nacre::kvm {

// Made parked; runs the guest between resume() and the next request. Requests come from the main thread.
//
// How a kick is never lost: the requester stores the request, sets kvm_run.immediate_exit and sends a signal, in this
// order. The thread clears immediate_exit before it reads the request and reads the request before KVM_RUN. Set before
// the clearing, the request was stored before it too, so it is seen; set later, it stays, so KVM_RUN returns at once; the
// signal interrupts a KVM_RUN that has begun. So nothing hangs on where or when its handler runs. A signal mask for
// KVM_RUN (KVM_SET_SIGNAL_MASK) would do as well, but costs two changes of the mask, with the signal lock of the whole
// process, at every exit.
class VcpuThread {
 public:
  // `vcpu`, `handler` and what `parked` uses must outlive it. `parked` is called on the vCPU's thread each time that it
  // has parked and when it ends. Fails when no thread can be made.
  static Result<std::unique_ptr<VcpuThread>> start(Vcpu& vcpu, ExitHandler& handler, GuestReader reader,
                                                   std::function<void()> parked);
  // Stops and joins.
  ~VcpuThread();
  VcpuThread(const VcpuThread&) = delete;
  VcpuThread& operator=(const VcpuThread&) = delete;

  void request_pause();
  void resume();
  void request_stop();
  // After request_stop() and ended(), or it waits. Idempotent.
  void join();
  // [any] The vCPU is out of KVM_RUN with no access half done, and stays so until resume(). Also true of one that has
  // parked by itself (a triple fault) or ended.
  bool is_parked() const { return parked_.load(std::memory_order_acquire); }
  bool has_ended() const { return ended_.load(std::memory_order_acquire); }

  pid_t thread_id() const { return thread_id_; }
  Vcpu& vcpu() { return vcpu_; }

 private:
  enum class Request : uint32_t { Pause, Run, Stop };

  VcpuThread(Vcpu& vcpu, ExitHandler& handler, GuestReader reader, std::function<void()> parked);
  static void* entry(void* self);
  void main();
  // Runs the guest; true: asked to park or stop, false: the vCPU cannot or must not go on by itself.
  bool run_guest();
  bool handle_exit();
  void handle_port_io();
  void handle_mmio();
  void set_request(Request request);

  Vcpu& vcpu_;
  ExitHandler& handler_;
  GuestReader reader_;
  std::function<void()> on_parked_;

  std::atomic<Request> request_{Request::Pause};
  std::atomic<bool> parked_{false};
  std::atomic<bool> ended_{false};
  Mutex mutex_;
  Condition changed_;
  bool halted_ NACRE_GUARDED_BY(mutex_) = false;  // parked by itself until resume()

  pthread_t thread_{};
  bool joinable_ = false;
  pid_t thread_id_ = 0;
};

}  // namespace nacre::kvm
