#include "core/backend/char_socket.hpp"

#include "core/backend/char_stream.hpp"
#include "core/backend/listen_socket.hpp"
#include "core/base/log.hpp"

namespace nacre {

namespace {

class CharSocket : public Chardev {
 public:
  explicit CharSocket(const CharSocketOptions& options) : Chardev(options.id), options_(options) {}
  ~CharSocket() override { detach(); }
  std::string filename() const override {
    if (listener_) return listener_->address();
    if (!options_.path.empty()) return "unix:" + options_.path;
    return fmt::format("tcp:{}:{}", options_.host, options_.port);
  }
  Result<Fd> dial() const override {
    if (options_.path.empty()) return Chardev::dial();
    return connect_unix("chardev '" + id() + "'", options_.path);
  }

 protected:
  Status start() override {
    if (Status listening = listen(); !listening) return listening;
    // Edge-triggered: those who wait their turn in the backlog must not keep the loop awake.
    auto watch =
        loop().watch(listener_->fd(), EventLoop::kRead | EventLoop::kEdge, [this](uint32_t) { accept_next(); });
    if (!watch) return watch.error();
    listener_watch_ = *watch;
    accept_next();
    return {};
  }
  void stop() override {
    drop_client();
    if (listener_watch_) loop().unwatch(std::exchange(listener_watch_, nullptr));
  }
  size_t read_some(char* data, size_t length) override {
    if (!client_) return 0;
    ssize_t bytes = read_available(client_.get(), data, length);
    if (bytes >= 0) return static_cast<size_t>(bytes);
    leave();
    return 0;
  }
  ssize_t write_some(const char* data, size_t length) override {
    if (!client_) return -1;
    return write_available(client_.get(), data, length);
  }

 private:
  Status listen() {
    if (listener_) return {};
    const std::string what = "chardev '" + id() + "'";
    if (!options_.server || !options_.nowait)
      return fail("{}: a socket that serves a console listens without waiting; add {}.", what,
                  options_.server   ? "'nowait'"
                  : options_.nowait ? "'server'"
                                    : "'server,nowait'");
    auto listener = options_.path.empty() ? ListenSocket::open_tcp(what, options_.host, options_.port)
                                          : ListenSocket::open_unix(what, options_.path);
    if (!listener) return listener.error();
    listener_ = std::move(*listener);
    return {};
  }
  void accept_next() {
    while (!client_) {
      client_ = listener_->accept();
      if (!client_) return;
      auto watch = loop().watch(client_.get(), EventLoop::kRead | EventLoop::kWrite | EventLoop::kEdge,
                                [this](uint32_t events) { client_ready(events); });
      if (!watch) {
        log::warn("chardev", "chardev '{}': a client is sent away: {}", id(), watch.error().message);
        client_.close();
        continue;
      }
      client_watch_ = *watch;
      connect();
    }
  }
  void client_ready(uint32_t events) {
    const Watch* before = client_watch_;
    if (events & EventLoop::kWrite) flush();
    if (client_watch_ == before && (events & EventLoop::kRead)) input_ready();
    // A front end that has no room does not read, and so does not see that the client is gone.
    if (client_watch_ == before && (events & (EventLoop::kHangup | EventLoop::kError))) leave();
  }
  void leave() {
    flush();  // a client that only ends its own side still gets what was said before
    drop_client();
    disconnect();
    accept_next();
  }
  void drop_client() {
    if (client_watch_) loop().unwatch(std::exchange(client_watch_, nullptr));
    client_.close();
  }

  const CharSocketOptions options_;
  std::unique_ptr<ListenSocket> listener_;  // from the first attach() on
  Watch* listener_watch_ = nullptr;
  Fd client_;
  Watch* client_watch_ = nullptr;
};

}  // namespace

Result<std::unique_ptr<Chardev>> open_char_socket(const CharSocketOptions& options) {
  if (options.path.empty() && options.port == 0)
    return fail("chardev '{}': a socket needs 'path=' or 'port='.", options.id);
  return std::unique_ptr<Chardev>(new CharSocket(options));
}

}  // namespace nacre
