// The other end of a vhost-user socket: a back end that agrees to everything and serves no ring.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <thread>

namespace nacre::fake {

// Answers on a thread of its own from its making to its end, as the process that it stands for would. What it gets, it
// believes; a request that it does not know ends the connection.
class VhostUserPeer {
 public:
  VhostUserPeer();
  // Breaks the connection off. Its thread is gone afterwards, for everybody who counts threads.
  ~VhostUserPeer();
  VhostUserPeer(const VhostUserPeer&) = delete;
  VhostUserPeer& operator=(const VhostUserPeer&) = delete;

  // The device's end of the connection, for the caller to close; -1 where there is none, and when it was taken before.
  int take_socket();
  // How many rings are started.
  int rings() const { return rings_; }

 private:
  void serve();
  bool serve_request();

  int ours_ = -1, theirs_ = -1;
  uint16_t bases_[256] = {};  // of each ring: where it goes on
  std::atomic<int> rings_{0};
  std::atomic<pid_t> thread_id_{0};
  std::thread thread_;
};

}  // namespace nacre::fake
