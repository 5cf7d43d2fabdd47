// A thread that fetches ranges of the image, so that the device's loop never waits for the server.
#pragma once

#include <nacre/abi/loop.h>

#include <deque>
#include <nacre/mutex.hpp>
#include <thread>
#include <vector>

#include "http_client.hpp"

namespace http_disk {

// One request of the guest. The device owns it and leaves it alone from submit() until take_done() has given it back.
struct Job {
  uint64_t offset = 0;
  uint64_t length = 0;
  std::vector<iovec> to;  // in guest memory
  bool good = false;      // out
};

// Used on the device's loop. A lock stands between it and the thread: it is held for a few instructions, and what it
// guards waits for a network.
class Fetcher {
 public:
  // Calls `wake(opaque)` on `loop` when there is something for take_done().
  Fetcher(HttpClient& client, nacre_instance* instance, nacre_loop* loop, nacre_callback wake, void* opaque);
  // Does not wait for the server: requests that it has not answered are forgotten. Guest memory is not touched any more
  // once it has returned.
  ~Fetcher();
  Fetcher(const Fetcher&) = delete;
  Fetcher& operator=(const Fetcher&) = delete;

  void submit(Job& job);
  std::vector<Job*> take_done();

 private:
  void run();

  HttpClient& client_;
  nacre_instance* const instance_;
  nacre_loop* const loop_;
  const nacre_callback wake_;
  void* const opaque_;

  nacre::sdk::Mutex mutex_;
  nacre::sdk::Condition changed_;
  std::deque<Job*> waiting_ NACRE_GUARDED_BY(mutex_);
  std::vector<Job*> done_ NACRE_GUARDED_BY(mutex_);
  bool ending_ NACRE_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace http_disk
