#include "server.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <vector>

Server::Server(std::string content) : content_(std::move(content)), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ::bind(listener_, reinterpret_cast<sockaddr*>(&address), length);
  ::listen(listener_, 8);
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { run(); });
}

Server::~Server() {
  ending_ = true;
  thread_.join();
  ::close(listener_);
}

void Server::run() {
  std::vector<int> clients;
  while (!ending_) {
    std::vector<pollfd> fds{{listener_, POLLIN, 0}};
    for (const int client : clients) fds.push_back({client, POLLIN, 0});
    if (::poll(fds.data(), fds.size(), 10) <= 0) continue;
    for (size_t i = 1; i < fds.size(); ++i) {
      if (!fds[i].revents || serve(fds[i].fd)) continue;
      ::close(fds[i].fd);
      std::erase(clients, fds[i].fd);
    }
    if (fds[0].revents) clients.push_back(::accept(listener_, nullptr, nullptr)), ++connections;
  }
  for (const int client : clients) ::close(client);
}

// One request; false when the connection is to end.
bool Server::serve(int client) {
  char bytes[4096];
  const ssize_t got = ::recv(client, bytes, sizeof bytes - 1, 0);
  if (got <= 0) return false;
  bytes[got] = 0;
  const std::string request = bytes;
  unsigned long long first = 0, last = 0;
  std::string answer;
  const size_t range = request.find("Range: bytes=");
  if (request.rfind("HEAD ", 0) == 0) {
    answer = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(content_.size()) + "\r\n\r\n";
  } else if (silent) {
    return true;
  } else if (status != 206) {
    answer = "HTTP/1.1 " + std::to_string(status) + " No\r\nContent-Length: 0\r\n\r\n";
  } else if (range != std::string::npos && std::sscanf(&request[range], "Range: bytes=%llu-%llu", &first, &last) == 2) {
    answer = "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes " + std::to_string(first) + "-" +
             std::to_string(last) + "/" + std::to_string(content_.size()) +
             "\r\nContent-Length: " + std::to_string(last - first + 1) + "\r\n\r\n" +
             content_.substr(first, last - first + 1);
  }
  for (size_t sent = 0; sent < answer.size();) {
    const ssize_t part = ::send(client, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
    if (part <= 0) return false;
    sent += static_cast<size_t>(part);
  }
  return !closing;
}
