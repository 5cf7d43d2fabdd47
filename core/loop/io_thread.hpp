// A named thread that runs an event loop, for devices that shall not share the main one.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <thread>

#include "core/base/result.hpp"
#include "core/loop/event_loop.hpp"

namespace nacre {

// Runs from start() to the destructor, which lets posted calls finish and joins. Made and destroyed on the main thread.
class IoThread {
 public:
  // Starts a thread named `name` (the kernel keeps 15 bytes), with all signals blocked.
  static Result<std::unique_ptr<IoThread>> start(const std::string& name);
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  EventLoop& loop() { return *loop_; }
  const std::string& name() const { return name_; }
  pid_t thread_id() const { return thread_id_; }
  // Gives it its list of system calls, where the process was confined (core/sandbox) after it was started.
  void narrow();

 private:
  IoThread() = default;

  std::string name_;
  std::unique_ptr<EventLoop> loop_;
  pid_t thread_id_ = 0;
  std::thread thread_;
};

}  // namespace nacre
