// The management side: sockets on the one hand, the QMP room on the other.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/backend/listen_socket.hpp"
#include "core/vm/virtual_machine.hpp"
#include "qmp/session.hpp"

namespace nacre {

// Main thread only. Serves any number of clients on any number of sockets; events go to all of them.
class Monitor : public LifeCycleEvents, public PluginMonitor, public PluginEvents {
 public:
  explicit Monitor(VirtualMachine& vm);
  // Sends what can still be sent, closes all, removes socket files.
  ~Monitor() override;
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  Status listen_unix(const std::string& path);
  Status listen_tcp(const std::string& host, uint16_t port);
  // [main] One more command, of a room above this one; its texts must outlive this.
  void add(qmp::Command command) { dispatcher_.add(std::move(command)); }
  // [main] From now on no events about plugins: for clients that take every line for their own.
  void leave_plugins_out() { plugins_left_out_ = true; }
  // [main] For a client that does not come by a socket: a Session of its own.
  qmp::Dispatcher& dispatcher() { return dispatcher_; }

 private:
  struct Listener {
    std::unique_ptr<ListenSocket> socket;
    Watch* watch;
  };
  struct Client {
    explicit Client(qmp::Dispatcher& dispatcher) : session(dispatcher) {}
    Fd fd;
    Watch* watch = nullptr;
    qmp::Session session;
    bool writing = false;  // the watch waits for room as well
    bool gone = false;
  };

  Status add_listener(Result<std::unique_ptr<ListenSocket>> socket);
  void on_connect(ListenSocket& socket);
  void on_input(Client& client);
  void flush(Client& client);
  void drop(Client& client);
  void send_event(std::string_view name, const boost::json::object& data);
  void tell_of_plugin(std::string_view name, boost::json::object data);

  void stopped() override;
  void resumed() override;
  void powered_down() override;
  void was_reset(bool by_guest) override;
  void shut_down(bool by_guest, const std::string& reason) override;

  void plugin_loaded(const PluginInfo& plugin) override;
  void plugin_rejected(const std::string& path, const std::string& reason) override;
  void plugin_failed(const std::string& id, const std::string& path, const std::string& reason) override;

  Status add_command(const std::string& name, const std::string& help, Handler handler) override;
  void remove_command(const std::string& name) override;
  Status emit(const std::string& event, const std::string& data) override;

  VirtualMachine& vm_;
  qmp::Dispatcher dispatcher_;
  std::vector<Listener> listeners_;
  std::vector<std::unique_ptr<Client>> clients_;
  bool plugins_left_out_ = false;
  bool in_request_ = false;
  std::vector<std::pair<std::string_view, boost::json::object>> of_request_;  // events that follow its answer
  std::shared_ptr<int> alive_ = std::make_shared<int>();  // for posts that may come after this is gone
};

}  // namespace nacre
