// What a device sees of its virtual machine: loops, management commands, life cycle, the balloon.
#include <algorithm>
#include <cstring>
#include <nacre/fake/host.hpp>

#include "tables.hpp"

namespace nacre::fake {
namespace {

nacre_loop* loop_of(nacre_instance* instance) noexcept {
  return &instance->loop;
}
uint8_t is_current(nacre_loop* loop) noexcept {
  return loop->is_current();
}
nacre_status watch(nacre_loop* loop, int32_t fd, uint32_t events, nacre_callback ready, void* opaque,
                   nacre_watch** made, nacre_error* slot) noexcept {
  *made = loop->watch(fd, events, ready, opaque);
  return *made ? NACRE_OK : say(slot, NACRE_INVALID, "the descriptor cannot be waited for.");
}
void unwatch(nacre_watch* watch) noexcept {
  if (!watch->loop->is_current()) offend("loop.unwatch was called on another thread");
  watch->loop->unwatch(watch);
}
nacre_status timer(nacre_loop* loop, nacre_callback expired, void* opaque, nacre_timer** made, nacre_error*) noexcept {
  *made = loop->timer(expired, opaque);
  return NACRE_OK;
}
void timer_arm(nacre_timer* timer, uint64_t ns) noexcept {
  if (!timer->loop->is_current()) offend("loop.timer_arm was called on another thread");
  timer->at = ns ? timer->loop->now() + ns : 0;
}
void timer_destroy(nacre_timer* timer) noexcept {
  timer->loop->destroy(timer);
}
void post(nacre_loop* loop, nacre_callback callback, void* opaque) noexcept {
  loop->post([callback, opaque] { callback(opaque); });
}
void call(nacre_loop* loop, nacre_callback callback, void* opaque) noexcept {
  loop->call([&] { callback(opaque); });
}

nacre_status command(nacre_instance* instance, const char* name, const char* help, nacre_qmp_handler handler,
                     void* opaque, nacre_error* slot) noexcept {
  main_only("qmp.command");
  if (std::strncmp(name, "x-", 2) != 0) return say(slot, NACRE_INVALID, "a plugin's command begins with x-.");
  if (!help || !*help) offend(std::string("command ") + name + " has no help");
  instance->commands[name] = {handler, opaque};
  return NACRE_OK;
}
nacre_status reply_json(nacre_qmp_reply*, const char*) noexcept {
  return NACRE_OK;
}
nacre_status event(nacre_instance* instance, const char* name, const char*) noexcept {
  instance->events.emplace_back(name);
  return NACRE_OK;
}

void request(nacre_instance* instance, uint32_t what) noexcept {
  instance->requests.push_back(what);
}
nacre_status on_powerdown(nacre_instance* instance, nacre_callback pressed, void* opaque) noexcept {
  main_only("lifecycle.on_powerdown");
  instance->power_button = pressed;
  instance->power_button_opaque = opaque;
  return NACRE_OK;
}

nacre_status attach_balloon(nacre_instance* instance, const nacre_balloon_ops* ops, void* self, nacre_balloon** balloon,
                            nacre_error* slot) noexcept {
  main_only("balloon.attach");
  if (instance->balloon) return say(slot, NACRE_BUSY, "there is a balloon already.");
  instance->balloon = std::make_unique<nacre_balloon>(nacre_balloon{instance, {}, self});
  std::memcpy(&instance->balloon->ops, ops, std::min<size_t>(ops->size, sizeof *ops));
  *balloon = instance->balloon.get();
  return NACRE_OK;
}
void detach_balloon(nacre_balloon* balloon) noexcept {
  main_only("balloon.detach");
  balloon->instance->balloon.reset();
}
void balloon_changed(nacre_balloon*, uint64_t) noexcept {}

uint64_t clock_now(uint32_t clock) noexcept {
  timespec time{};
  ::clock_gettime(clock == NACRE_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

}  // namespace

const nacre_loop_v1 kLoop{sizeof(nacre_loop_v1), 0,    loop_of, is_current, watch, unwatch, timer, timer_arm,
                          timer_destroy,         post, call,    clock_now};
const nacre_qmp_v1 kQmp{sizeof(nacre_qmp_v1), 0, command, reply_json, event};
const nacre_lifecycle_v1 kLifecycle{sizeof(nacre_lifecycle_v1), 0, request, on_powerdown};
const nacre_balloon_v1 kBalloon{sizeof(nacre_balloon_v1), 0, attach_balloon, detach_balloon, balloon_changed};

}  // namespace nacre::fake
