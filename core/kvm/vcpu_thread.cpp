#include "core/kvm/vcpu_thread.hpp"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "core/sandbox/sandbox.hpp"

namespace nacre::kvm {
namespace {

int kick_signal() {
  return SIGRTMIN;
}

// Nothing to do: that it is handled is what ends KVM_RUN.
void on_kick(int) {}

Status install_kick_handler() {
  struct sigaction action {};
  action.sa_handler = on_kick;
  // A device's system call that the kick interrupts goes on by itself.
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  if (::sigaction(kick_signal(), &action, nullptr) < 0)
    return fail("cannot install the signal that interrupts vCPUs: {}.", strerror(errno));
  return {};
}

}  // namespace

VcpuThread::VcpuThread(Vcpu& vcpu, ExitHandler& handler, GuestReader reader, std::function<void()> parked)
    : vcpu_(vcpu), handler_(handler), reader_(std::move(reader)), on_parked_(std::move(parked)) {}

Result<std::unique_ptr<VcpuThread>> VcpuThread::start(Vcpu& vcpu, ExitHandler& handler, GuestReader reader,
                                                      std::function<void()> parked) {
  if (Status installed = install_kick_handler(); !installed) return installed.error();
  std::unique_ptr<VcpuThread> thread(new VcpuThread(vcpu, handler, std::move(reader), std::move(parked)));
  // The thread inherits the mask: it takes no signal but the kick.
  sigset_t mask, before;
  sigfillset(&mask);
  pthread_sigmask(SIG_SETMASK, &mask, &before);
  int error = pthread_create(&thread->thread_, nullptr, entry, thread.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error) return fail("cannot start the thread of vCPU {}: {}.", vcpu.index(), strerror(error));
  thread->joinable_ = true;
  // Parked when this returns: its id and its state are there to be asked for.
  MutexLock lock(thread->mutex_);
  while (!thread->is_parked()) thread->changed_.wait(lock);
  return thread;
}

VcpuThread::~VcpuThread() {
  request_stop();
  join();
}

void VcpuThread::join() {
  if (std::exchange(joinable_, false)) pthread_join(thread_, nullptr);
}

void VcpuThread::set_request(Request request) {
  {
    MutexLock lock(mutex_);
    if (request_.load(std::memory_order_relaxed) == Request::Stop) return;
    request_.store(request, std::memory_order_seq_cst);
    if (request == Request::Run) {
      // By the asker, so that a pause asked for at once afterwards is not taken for granted already.
      parked_.store(false, std::memory_order_release);
      halted_ = false;
    }
    changed_.notify_all();
  }
  if (request == Request::Run || !joinable_) return;
  __atomic_store_n(&vcpu_.run()->immediate_exit, uint8_t{1}, __ATOMIC_SEQ_CST);
  pthread_kill(thread_, kick_signal());
}

void VcpuThread::request_pause() {
  set_request(Request::Pause);
}
void VcpuThread::resume() {
  set_request(Request::Run);
}
void VcpuThread::request_stop() {
  set_request(Request::Stop);
}

void* VcpuThread::entry(void* self) {
  static_cast<VcpuThread*>(self)->main();
  return nullptr;
}

void VcpuThread::main() {
  const std::string name = "CPU " + std::to_string(vcpu_.index()) + "/KVM";
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
  thread_id_ = static_cast<pid_t>(::syscall(SYS_gettid));
  sigset_t kick;
  sigemptyset(&kick);
  sigaddset(&kick, kick_signal());
  pthread_sigmask(SIG_UNBLOCK, &kick, nullptr);

  MutexLock lock(mutex_);
  for (;;) {
    Request request = request_.load(std::memory_order_relaxed);
    if (request == Request::Stop) break;
    if (request == Request::Pause || halted_) {
      if (!parked_.load(std::memory_order_relaxed)) {
        parked_.store(true, std::memory_order_release);
        changed_.notify_all();
        lock.unlock();
        on_parked_();
        lock.lock();
      } else {
        changed_.wait(lock);
      }
      continue;
    }
    lock.unlock();
    sandbox::narrow(sandbox::Kind::Vcpu);  // before its first instruction
    bool may_go_on = run_guest();
    lock.lock();
    if (!may_go_on) halted_ = true;
  }
  lock.unlock();
  parked_.store(true, std::memory_order_release);
  ended_.store(true, std::memory_order_release);
  on_parked_();
}

bool VcpuThread::run_guest() {
  kvm_run* run = vcpu_.run();
  const int fd = vcpu_.fd();
  for (;;) {
    // In this order: see the class comment.
    __atomic_store_n(&run->immediate_exit, uint8_t{0}, __ATOMIC_SEQ_CST);
    const bool leaving = request_.load(std::memory_order_seq_cst) != Request::Run;
    // KVM_RUN first completes the access that the last exit began, then sees this and returns.
    if (leaving) __atomic_store_n(&run->immediate_exit, uint8_t{1}, __ATOMIC_SEQ_CST);
    if (::ioctl(fd, KVM_RUN, 0) < 0) {
      if (errno == EINTR) {
        // Whatever interrupted it: nothing is half done now.
        if (leaving || request_.load(std::memory_order_seq_cst) != Request::Run) return true;
        continue;
      }
      if (errno == EAGAIN) continue;  // waited for INIT and got it
      const int why = errno;
      // Some failures leave an exit reason that says more.
      handler_.internal_error(make_report(vcpu_, why, reader_));
      return false;
    }
    if (!handle_exit()) return false;
  }
}

bool VcpuThread::handle_exit() {
  kvm_run* run = vcpu_.run();
  switch (run->exit_reason) {
    case KVM_EXIT_IO:
      handle_port_io();
      return true;
    case KVM_EXIT_MMIO:
      handle_mmio();
      return true;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
      return true;
    case KVM_EXIT_HLT:
      // Only without local APICs in the kernel, and then nothing can end it but a reset.
      return false;
    case KVM_EXIT_SHUTDOWN:
      handler_.shutdown(vcpu_.index());
      return false;
    case KVM_EXIT_SYSTEM_EVENT:
      handler_.system_event(vcpu_.index(), run->system_event.type, run->system_event.flags);
      return false;
    default:
      handler_.internal_error(make_report(vcpu_, 0, reader_));
      return false;
  }
}

void VcpuThread::handle_port_io() {
  kvm_run* run = vcpu_.run();
  const auto io = run->io;
  uint8_t* data = reinterpret_cast<uint8_t*>(run) + io.data_offset;
  // A string instruction comes as many accesses to one port.
  for (uint32_t i = 0; i < io.count; ++i, data += io.size) {
    uint64_t value = 0;
    if (io.direction == KVM_EXIT_IO_OUT) {
      std::memcpy(&value, data, io.size);
      handler_.pio_write(vcpu_.index(), io.port, io.size, value);
    } else {
      value = handler_.pio_read(vcpu_.index(), io.port, io.size);
      std::memcpy(data, &value, io.size);
    }
  }
}

void VcpuThread::handle_mmio() {
  auto& mmio = vcpu_.run()->mmio;
  const uint32_t width = mmio.len <= sizeof mmio.data ? mmio.len : sizeof mmio.data;
  uint64_t value = 0;
  if (mmio.is_write) {
    std::memcpy(&value, mmio.data, width);
    handler_.mmio_write(vcpu_.index(), mmio.phys_addr, width, value);
  } else {
    value = handler_.mmio_read(vcpu_.index(), mmio.phys_addr, width);
    std::memcpy(mmio.data, &value, width);
  }
}

}  // namespace nacre::kvm
