#include "core/backend/chardev.hpp"

namespace nacre {

// The kinds detach in their own destructors: here their functions are gone.
Chardev::~Chardev() = default;

Status Chardev::attach(EventLoop& loop, ChardevEvents events) {
  if (loop_) return fail("chardev '{}' is already used by another device; give each its own.", id_);
  loop_ = &loop;
  events_ = std::move(events);
  link_ = std::make_shared<Link>(Link{this});
  Status started;
  loop.call([&] { started = start(); });
  if (!started) {
    loop.call([&] { stop(); });
    connected_ = false;
    loop_ = nullptr;
    link_ = nullptr;
    events_ = {};
  }
  return started;
}

Result<Fd> Chardev::dial() const {
  return fail("chardev '{}' is no Unix socket; use -chardev socket,id={},path=PATH.", id_, id_);
}

void Chardev::detach() {
  if (!loop_) return;
  loop_->call([this] {
    events_ = {};
    flush();
    stop();
    link_->owner = nullptr;
    output_.drop();
    connected_ = false;
  });
  link_ = nullptr;
  loop_ = nullptr;
}

uint32_t Chardev::read(void* data, uint32_t length) {
  if (!length) return 0;
  inside_ = true;
  const size_t bytes = read_some(static_cast<char*>(data), length);
  inside_ = false;
  return static_cast<uint32_t>(bytes);
}

uint32_t Chardev::write(const void* data, uint32_t length) {
  if (!connected()) return length;
  bool was_empty = false;
  size_t taken = output_.add(static_cast<const char*>(data), length, was_empty);
  if (was_empty && taken) {
    if (loop_->is_current()) {
      // Who writes more than there is room for is told after it has heard so from here, not before.
      inside_ = true;
      if (send_waiting()) tell(&ChardevEvents::writable);
      inside_ = false;
    } else {
      loop_->post([link = link_] {
        if (link->owner) link->owner->flush();
      });
    }
  }
  return static_cast<uint32_t>(taken);
}

void Chardev::flush() {
  if (send_waiting()) tell(&ChardevEvents::writable);
}

void Chardev::tell(std::function<void()> ChardevEvents::*event) {
  if (!inside_) {
    if (events_.*event) (events_.*event)();
    return;
  }
  loop_->post([link = link_, event] {
    if (link->owner && link->owner->events_.*event) (link->owner->events_.*event)();
  });
}

bool Chardev::send_waiting() {
  bool room = false;
  for (;;) {
    auto [data, length] = output_.front();
    if (length == 0) break;
    ssize_t written = connected() ? write_some(data, length) : -1;
    if (written < 0) {
      room = output_.drop() || room;
      break;
    }
    room = output_.take(static_cast<size_t>(written)) || room;
    if (written == 0) break;
  }
  return room;
}

void Chardev::connect() {
  if (connected_.exchange(true)) return;
  // Posted, so that a front end hears of it after attach() has returned to it.
  loop_->post([link = link_] {
    if (link->owner && link->owner->connected() && link->owner->events_.opened) link->owner->events_.opened();
  });
}

void Chardev::disconnect() {
  if (!connected_.exchange(false)) return;
  bool room = output_.drop();
  loop_->post([link = link_] {
    if (link->owner && link->owner->events_.closed) link->owner->events_.closed();
  });
  if (room) tell(&ChardevEvents::writable);
}

void Chardev::input_ready() {
  tell(&ChardevEvents::readable);
}

}  // namespace nacre
