// What `-netdev` and `netdev_add` say about a network back end, and which of it may stand together.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/result.hpp"

namespace nacre {

enum class NetKind {
  Tap,   // an interface of the host
  User,  // a network of its own behind this process's connections, by passt; needs no privilege
};

struct NetOptions {
  static constexpr uint32_t kMaxQueues = 16;
  static constexpr const char* kTunNode = "/dev/net/tun";

  std::string id;
  std::string driver;                                           // a plugin's, by name; empty: `kind` counts
  std::vector<std::pair<std::string, std::string>> properties;  // its own, as the user wrote them
  NetKind kind = NetKind::Tap;
  std::string ifname;         // Tap: the interface; it wins over fds
  std::string path;           // Tap by ifname: the node to open in place of kTunNode
  std::vector<int> fds;       // Tap: open descriptors of it, one a queue. NetBackend::open() takes them over
  uint32_t queues = 0;        // pairs, 1 .. kMaxQueues; 0: as many as descriptors, or 1
  bool vhost = false;         // Tap: the kernel walks the rings
  std::vector<int> vhostfds;  // Tap with vhost: open descriptors of /dev/vhost-net, one a pair; taken over likewise

  // Pairs of queues, with 0 resolved.
  uint32_t pairs() const;
  // Says in one sentence what does not go together; `id` is required.
  Status check() const;
};

// Reads "7" or "7:8:9": descriptors by number, separated by colons. `key` is what the sentence of a failure names.
Result<std::vector<int>> parse_descriptors(std::string_view key, std::string_view text);

}  // namespace nacre
