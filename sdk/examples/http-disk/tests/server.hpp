// A web server with one file, which a test can have fail. In a thread of its own.
#pragma once

#include <atomic>
#include <string>
#include <thread>

class Server {
 public:
  explicit Server(std::string content);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Of its file.
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/disk.img"; }

  std::atomic<int> status{206};      // of the answers to GET
  std::atomic<bool> silent{false};   // GET gets no answer
  std::atomic<bool> closing{false};  // every answer is the last of its connection, unannounced
  std::atomic<int> connections{0};   // so far

 private:
  void run();
  bool serve(int client);

  const std::string content_;
  int listener_;
  int port_ = 0;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};
