// Character back ends: a stream of bytes between a device and the outside, by name.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/backend/char_buffer.hpp"
#include "core/base/fd.hpp"
#include "core/base/result.hpp"
#include "core/loop/event_loop.hpp"

namespace nacre {

// What a front end is told, all on its loop, and never inside its own read() or write(). Any may be empty.
struct ChardevEvents {
  std::function<void()> readable;  // there is input; again when more comes after read() has returned 0
  std::function<void()> writable;  // what write() refused can be offered again
  std::function<void()> opened;    // somebody has connected
  std::function<void()> closed;    // and left
};

// Made and destroyed on the main thread, used by one front end at a time. The loop outlives the attachment.
class Chardev {
 public:
  explicit Chardev(std::string id) : id_(std::move(id)) {}
  virtual ~Chardev();
  Chardev(const Chardev&) = delete;
  Chardev& operator=(const Chardev&) = delete;

  const std::string& id() const { return id_; }
  // Where it leads, in the words of query-chardev: "stdio", "file:<path>", "unix:<path>", "pty:<path>", "null".
  virtual std::string filename() const = 0;

  // [main] Gives it to a front end, whose events come on `loop` from now on. Fails when it has one already, or when
  // the descriptors cannot be waited for. An `opened` comes soon when somebody is there already.
  Status attach(EventLoop& loop, ChardevEvents events);
  // [main] Takes it back. Waiting output is written as far as it goes without blocking; no event comes afterwards.
  void detach();
  bool attached() const { return loop_ != nullptr; }
  // [main] Connects to what the back end names, for front ends that speak a protocol of their own over the socket
  // (vhost-user) instead of attach(). Returns a blocking, close-on-exec stream socket; fails for what is no Unix socket
  // and when nobody listens there. Waits for nothing.
  virtual Result<Fd> dial() const;
  // [any] Whether there is somebody at the other end.
  bool connected() const { return connected_.load(std::memory_order_relaxed); }

  // [loop] Takes at most `length` bytes of input; returns how many, 0 when there are none now.
  uint32_t read(void* data, uint32_t length);
  // [any] Takes over at most `length` bytes without blocking and returns how many: fewer when the other end is slow and
  // 64 KiB wait already, all (and forgets them) when nobody is there. They go out on the loop's next turn, at once when
  // called on the loop.
  uint32_t write(const void* data, uint32_t length);

 protected:
  // What the kinds implement, all on the loop's thread. start() watches and says connect(); stop() unwatches.
  virtual Status start() = 0;
  virtual void stop() = 0;
  // Reads without blocking: bytes, 0 for none now. The end of the input is the kind's own affair.
  virtual size_t read_some(char* data, size_t length) = 0;
  // Writes without blocking: bytes, 0 for not now (flush() is called when that changes), -1 when nobody is there.
  virtual ssize_t write_some(const char* data, size_t length) = 0;

  // What the kinds call, on the loop's thread.
  EventLoop& loop() { return *loop_; }
  void connect();
  void disconnect();
  void input_ready();
  void flush();

 private:
  // Writes what waits, as far as it goes; true when a write() that was refused for lack of room can go on.
  bool send_waiting();
  // Tells the front end; a little later from inside its own call, in which it may hold a lock.
  void tell(std::function<void()> ChardevEvents::*event);

  // Outlives the back end in posts that are under way.
  struct Link {
    Chardev* owner;  // NULL after detach; the loop's
  };

  std::string id_;
  EventLoop* loop_ = nullptr;
  ChardevEvents events_;
  std::shared_ptr<Link> link_;
  CharBuffer output_;
  std::atomic<bool> connected_{false};
  bool inside_ = false;  // a call of the front end's on the loop
};

}  // namespace nacre
