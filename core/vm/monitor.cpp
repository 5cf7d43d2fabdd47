#include "core/vm/monitor.hpp"

#include <sys/socket.h>

#include <cstring>
#include <utility>

#include "core/base/log.hpp"
#include "core/plugin/version.hpp"
#include "core/vm/commands/commands.hpp"
#include "qmp/event_text.hpp"

namespace nacre {
namespace {

constexpr size_t kMaxFds = 16;  // descriptors in one message

// Receives what is there, with descriptors. Returns the number of bytes, 0 at the end, -1 for nothing now or an error.
ssize_t receive(int fd, char* data, size_t size, std::vector<Fd>& fds) {
  iovec iov{data, size};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)];
  msghdr message{};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t n = ::recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0) return n;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int received;
      std::memcpy(&received, CMSG_DATA(header) + i * sizeof(int), sizeof received);
      fds.emplace_back(received);
    }
  }
  return n;
}

}  // namespace

Monitor::Monitor(VirtualMachine& vm) : vm_(vm), dispatcher_(std::string("Nacre-") + kHostVersion) {
  commands::register_all(dispatcher_, vm);
  vm_.life_cycle().set_events(this);
  vm_.registry().set_events(this);
  vm_.set_monitor(this);
}

Monitor::~Monitor() {
  vm_.set_monitor(nullptr);
  vm_.registry().set_events(nullptr);
  vm_.life_cycle().set_events(nullptr);
  for (auto& client : clients_) {
    if (client->gone) continue;
    flush(*client);
    drop(*client);
  }
  for (Listener& listener : listeners_) vm_.loop().unwatch(listener.watch);
}

Status Monitor::listen_unix(const std::string& path) {
  return add_listener(ListenSocket::open_unix("-qmp", path));
}
Status Monitor::listen_tcp(const std::string& host, uint16_t port) {
  return add_listener(ListenSocket::open_tcp("-qmp", host, port));
}

Status Monitor::add_listener(Result<std::unique_ptr<ListenSocket>> socket) {
  if (!socket) return socket.error();
  ListenSocket* listening = socket->get();
  Result<Watch*> watch =
      vm_.loop().watch(listening->fd(), EventLoop::kRead, [this, listening](uint32_t) { on_connect(*listening); });
  if (!watch) return watch.error();
  listeners_.push_back({std::move(*socket), *watch});
  return {};
}

void Monitor::on_connect(ListenSocket& socket) {
  Fd fd = socket.accept();
  if (!fd) return;
  auto client = std::make_unique<Client>(dispatcher_);
  client->fd = std::move(fd);
  Client* known = client.get();
  Result<Watch*> watch = vm_.loop().watch(client->fd.get(), EventLoop::kRead, [this, known](uint32_t events) {
    if (events & EventLoop::kWrite) flush(*known);
    if (events & ~static_cast<uint32_t>(EventLoop::kWrite)) on_input(*known);
  });
  if (!watch) {
    log::warn("qmp", "a client cannot be served: {}", watch.error().message);
    return;
  }
  client->watch = *watch;
  clients_.push_back(std::move(client));
  flush(*known);
}

void Monitor::on_input(Client& client) {
  if (client.gone) return;
  char data[16384];
  std::vector<Fd> fds;
  ssize_t n = receive(client.fd.get(), data, sizeof data, fds);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return drop(client);
  in_request_ = true;
  client.session.feed({data, static_cast<size_t>(n)}, std::move(fds));
  in_request_ = false;
  flush(client);
  for (auto& [name, of_plugin] : std::exchange(of_request_, {})) send_event(name, of_plugin);
}

void Monitor::flush(Client& client) {
  while (!client.gone && !client.session.output().empty()) {
    const std::string& output = client.session.output();
    ssize_t n = ::send(client.fd.get(), output.data(), output.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
      client.session.sent(static_cast<size_t>(n));
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN && !client.session.closed()) break;
    return drop(client);
  }
  if (client.gone) return;
  if (client.session.closed()) return drop(client);
  bool wants = !client.session.output().empty();
  if (wants == client.writing) return;
  client.writing = wants;
  uint32_t events = EventLoop::kRead;
  if (wants) events |= EventLoop::kWrite;
  if (!vm_.loop().modify(client.watch, events)) drop(client);
}

// The client may be in the middle of a command, which may serve posts while it waits: it is freed after all of that.
void Monitor::drop(Client& client) {
  if (client.gone) return;
  client.gone = true;
  vm_.loop().unwatch(client.watch);
  client.fd.close();
  vm_.loop().post_alone([this, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    std::erase_if(clients_, [](auto& known) { return known->gone; });
  });
}

void Monitor::send_event(std::string_view name, const boost::json::object& data) {
  std::string text = qmp::event_text(name, data);
  log::info("qmp", "EVENT: --> {}", text);
  for (auto& client : clients_) {
    if (client->gone) continue;
    client->session.send_event(text);
    flush(*client);
  }
}

void Monitor::stopped() {
  send_event("STOP", {});
}
void Monitor::resumed() {
  send_event("RESUME", {});
}
void Monitor::powered_down() {
  send_event("POWERDOWN", {});
}
void Monitor::was_reset(bool by_guest) {
  send_event("RESET", {{"guest", by_guest}});
}
void Monitor::shut_down(bool by_guest, const std::string& reason) {
  send_event("SHUTDOWN", {{"guest", by_guest}, {"reason", reason}});
}

// What a command has brought about among the plugins comes after its answer: clients that read a line for each command
// know nothing of these events.
void Monitor::tell_of_plugin(std::string_view name, boost::json::object data) {
  if (plugins_left_out_) return;
  if (in_request_)
    of_request_.emplace_back(name, std::move(data));
  else
    send_event(name, data);
}

void Monitor::plugin_loaded(const PluginInfo& plugin) {
  tell_of_plugin("PLUGIN_LOADED", {{"id", plugin.id},
                                   {"version", plugin.version},
                                   {"path", plugin.path},
                                   {"drivers", boost::json::array(plugin.drivers.begin(), plugin.drivers.end())}});
}
void Monitor::plugin_rejected(const std::string& path, const std::string& reason) {
  tell_of_plugin("PLUGIN_REJECTED", {{"path", path}, {"reason", reason}});
}
void Monitor::plugin_failed(const std::string& id, const std::string& path, const std::string& reason) {
  tell_of_plugin("PLUGIN_FAILED", {{"id", id}, {"path", path}, {"reason", reason}});
}

Status Monitor::add_command(const std::string& name, const std::string& help, Handler handler) {
  return dispatcher_.add_plugin_command(
      name, help, [handler](const boost::json::object& arguments, qmp::Context&) -> commands::Answer {
        Result<std::string> text = handler(boost::json::serialize(arguments));
        if (!text) return text.error();
        boost::json::error_code failed;
        boost::json::value value = boost::json::parse(*text, failed);
        if (failed) return fail("the plugin answered with what is not JSON; this is a defect of the plugin.");
        return value;
      });
}

void Monitor::remove_command(const std::string& name) {
  dispatcher_.remove_plugin_command(name);
}

Status Monitor::emit(const std::string& event, const std::string& data) {
  boost::json::error_code failed;
  boost::json::value value = boost::json::parse(data, failed);
  if (failed || !value.is_object()) {
    log::warn("qmp", "the data of event {} is no JSON object; the event is dropped.", event);
    return fail("the data of event {} is no JSON object.", event);
  }
  send_event(event, value.get_object());
  return {};
}

}  // namespace nacre
