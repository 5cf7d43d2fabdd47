// The socket of a test that drives the machine.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "core/backend/listen_socket.hpp"
#include "core/vm/qtest/protocol.hpp"
#include "core/vm/virtual_machine.hpp"

namespace nacre::qtest {

struct ServerOptions {
  Dialect dialect = Dialect::Qemu;
  std::string path;
  bool listen = false;  // else it connects to who listens there, and the machine ends with the connection
};

// Main thread only. One client at a time. Requests are done in their order; each is answered when the loop has served
// what it has set going: kicks of devices on the main loop are done before the answer.
class Server {
 public:
  // `vm` has been built with AcceleratorKind::Test. Fails with a sentence about the socket.
  static Result<std::unique_ptr<Server>> start(VirtualMachine& vm, const ServerOptions& options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 private:
  // The process's virtual time, and the timers of every loop that the machine has.
  class Time : public Protocol::Time {
   public:
    explicit Time(VirtualMachine& vm) : vm_(vm) {}
    uint64_t now() const override;
    uint64_t next_deadline() override;
    void move_to(uint64_t ns) override;

   private:
    template <typename Visit>
    void for_each_loop(Visit visit);
    VirtualMachine& vm_;
  };

  Server(VirtualMachine& vm, const ServerOptions& options);
  const char* option() const { return options_.dialect == Dialect::Qemu ? "-qtest" : "-mod-test"; }
  Status serve(Fd client);
  void on_connect();
  void on_input();
  void cut_requests();
  void do_next();
  void say(std::string_view line);
  void flush();
  void drop();

  VirtualMachine& vm_;
  const ServerOptions options_;
  Time time_;
  Protocol protocol_;
  std::unique_ptr<ListenSocket> socket_;
  Watch* listening_ = nullptr;
  Fd client_;
  Watch* watch_ = nullptr;
  uint64_t clients_ = 0;  // numbers them, for what is posted for one that has left
  std::string input_;     // the beginning of a request
  std::deque<std::string> requests_;
  bool busy_ = false;                                     // one is done and not answered
  std::string output_;                                    // that the client has not taken
  std::shared_ptr<int> alive_ = std::make_shared<int>();  // for posts that may come after this is gone
};

}  // namespace nacre::qtest
