#include "core/vm/qtest/server.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "core/backend/char_stream.hpp"
#include "core/base/log.hpp"
#include "core/loop/clock.hpp"

namespace nacre::qtest {
namespace {

constexpr size_t kMostInput = 64 << 20;  // of one request: a write of the largest size, in hexadecimal, has room

}  // namespace

uint64_t Server::Time::now() const {
  return monotonic_ns();
}

template <typename Visit>
void Server::Time::for_each_loop(Visit visit) {
  visit(vm_.loop());
  for (const auto& each : vm_.iothreads()) {
    EventLoop& loop = each.second->loop();
    loop.call([&] { visit(loop); });
  }
}

uint64_t Server::Time::next_deadline() {
  uint64_t next = UINT64_MAX;
  for_each_loop([&next](EventLoop& loop) { next = std::min(next, loop.next_deadline()); });
  return next;
}

// A timer that starts itself again on the way expires again on the way.
void Server::Time::move_to(uint64_t ns) {
  for (uint64_t next = next_deadline(); next <= ns && next != UINT64_MAX; next = next_deadline()) {
    move_virtual_time(next);
    for_each_loop([](EventLoop& loop) { loop.expire_due(); });
  }
  move_virtual_time(ns);
}

Server::Server(VirtualMachine& vm, const ServerOptions& options)
    : vm_(vm),
      options_(options),
      time_(vm),
      protocol_(
          *vm.platform().test_vm(),
          Access(*vm.platform().test_vm(), vm.platform().space(NACRE_SPACE_MMIO), vm.platform().space(NACRE_SPACE_PIO),
                 options.dialect == Dialect::StratoVirt ? Access::Nobody::Zeros : Access::Nobody::Ones),
          time_, options.dialect, [this](std::string_view line) { say(line); }) {}

Result<std::unique_ptr<Server>> Server::start(VirtualMachine& vm, const ServerOptions& options) {
  auto server = std::unique_ptr<Server>(new Server(vm, options));
  if (!options.listen) {
    Result<Fd> client = connect_unix(server->option(), options.path);
    if (!client) return client.error();
    if (Status serving = server->serve(std::move(*client)); !serving) return serving.error();
    return server;
  }
  Result<std::unique_ptr<ListenSocket>> socket = ListenSocket::open_unix(server->option(), options.path);
  if (!socket) return socket.error();
  server->socket_ = std::move(*socket);
  Result<Watch*> watch =
      vm.loop().watch(server->socket_->fd(), EventLoop::kRead, [raw = server.get()](uint32_t) { raw->on_connect(); });
  if (!watch) return watch.error();
  server->listening_ = *watch;
  return server;
}

Server::~Server() {
  if (TestVm* test = vm_.has_platform() ? vm_.platform().test_vm() : nullptr) test->intercept({});
  if (watch_) vm_.loop().unwatch(watch_);
  if (listening_) vm_.loop().unwatch(listening_);
}

Status Server::serve(Fd client) {
  Result<Watch*> watch = vm_.loop().watch(client.get(), EventLoop::kRead, [this](uint32_t events) {
    if (events & EventLoop::kWrite) flush();
    if (watch_ && events & ~static_cast<uint32_t>(EventLoop::kWrite)) on_input();
  });
  if (!watch) return watch.error();
  client_ = std::move(client);
  watch_ = *watch;
  ++clients_;
  return {};
}

// Who comes while another is served waits in the socket's backlog: the listener is not looked at.
void Server::on_connect() {
  Fd client = socket_->accept();
  if (!client) return;
  if (Status serving = serve(std::move(client)); !serving) {
    log::warn("qtest", "a client cannot be served: {}", serving.error().message);
    return;
  }
  (void)vm_.loop().modify(listening_, 0);
}

void Server::on_input() {
  char data[65536];
  const ssize_t bytes = ::recv(client_.get(), data, sizeof data, MSG_DONTWAIT);
  if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (bytes <= 0) return drop();
  input_.append(data, static_cast<size_t>(bytes));
  cut_requests();
  if (input_.size() > kMostInput) {
    log::warn("qtest", "a request has more than {} bytes; its client is dropped.", kMostInput);
    return drop();
  }
  do_next();
}

// StratoVirt's tests end no request with a newline: what has come at once is one.
void Server::cut_requests() {
  size_t begin = 0;
  for (size_t end; (end = input_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    std::string line = input_.substr(begin, end - begin);
    if (line.ends_with('\r')) line.pop_back();
    requests_.push_back(std::move(line));
  }
  input_.erase(0, begin);
  if (options_.dialect == Dialect::StratoVirt && !input_.empty()) requests_.push_back(std::exchange(input_, {}));
}

void Server::do_next() {
  if (busy_ || requests_.empty()) return;
  busy_ = true;
  const std::string request = std::move(requests_.front());
  requests_.pop_front();
  const uint64_t client = clients_;
  std::string answer = protocol_.answer(request);
  auto send = [this, client, answer = std::move(answer), alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired() || client != clients_) return;
    busy_ = false;
    say(answer);
    do_next();
  };
  // A post is served in the loop's next turn, after the descriptors that are ready by then; one that stands alone,
  // after all posts of that turn.
  vm_.loop().post_alone(std::move(send));
}

void Server::say(std::string_view line) {
  if (!watch_) return;
  output_.append(line);
  output_.push_back('\n');
  flush();
}

void Server::flush() {
  while (!output_.empty()) {
    const ssize_t bytes = write_available(client_.get(), output_.data(), output_.size());
    if (bytes < 0) return drop();
    if (bytes == 0) break;
    output_.erase(0, static_cast<size_t>(bytes));
  }
  uint32_t events = EventLoop::kRead;
  if (!output_.empty()) events |= EventLoop::kWrite;
  (void)vm_.loop().modify(watch_, events);
}

void Server::drop() {
  vm_.loop().unwatch(std::exchange(watch_, nullptr));
  client_.close();
  ++clients_;
  input_.clear();
  output_.clear();
  requests_.clear();
  busy_ = false;
  if (listening_)
    (void)vm_.loop().modify(listening_, EventLoop::kRead);
  else
    vm_.life_cycle().shut_down(false, "the test that drives the machine has left");
}

}  // namespace nacre::qtest
