#include "core/loop/io_thread.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <future>
#include <system_error>

#include "core/sandbox/sandbox.hpp"

namespace nacre {

Result<std::unique_ptr<IoThread>> IoThread::start(const std::string& name) {
  std::unique_ptr<IoThread> thread(new IoThread);
  thread->name_ = name;
  std::promise<Status> started;
  // The new thread inherits the mask; signals are the main thread's business.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread->thread_ = std::thread([self = thread.get(), &started] {
      pthread_setname_np(pthread_self(), self->name_.substr(0, 15).c_str());
      self->thread_id_ = static_cast<pid_t>(::syscall(SYS_gettid));
      // Made here, so that it is this thread's from the beginning.
      auto loop = EventLoop::create();
      if (!loop) {
        started.set_value(loop.error());
        return;
      }
      self->loop_ = std::move(*loop);
      sandbox::narrow(sandbox::Kind::IoThread);
      started.set_value({});
      self->loop_->run();
    });
  } catch (const std::system_error& error) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return fail("cannot start the iothread '{}': {}.", name, error.what());
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  Status status = started.get_future().get();
  if (!status) return status.error();
  return thread;
}

void IoThread::narrow() {
  loop_->call([] { sandbox::narrow(sandbox::Kind::IoThread); });
}

IoThread::~IoThread() {
  if (!thread_.joinable()) return;
  if (loop_) loop_->stop();
  thread_.join();
}

}  // namespace nacre
