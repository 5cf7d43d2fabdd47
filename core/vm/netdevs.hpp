// The network back ends of a virtual machine by id, and which device has each.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/backend/net_backend.hpp"

namespace nacre {

// Main thread only.
class Netdevs {
 public:
  struct Netdev {
    std::unique_ptr<NetBackend> backend;
    std::string user;                // id of the device that has it; empty when none has
    std::function<void()> announce;  // asks that device to announce itself; empty when it cannot
  };

  // Makes a network of a plugin.
  using Drive = std::function<Result<std::unique_ptr<NetBackend>>(const NetOptions& options)>;
  explicit Netdevs(Drive drive) : drive_(std::move(drive)) {}

  // Opens it. Descriptors in the options are taken over on success only.
  Status add(const NetOptions& options);
  // Closes it. Fails when there is none of this id, or a device has it.
  Status remove(const std::string& id);
  // Gives it to a device. Fails when there is no such back end or another device has it.
  Result<NetBackend*> take(const std::string& id, const std::string& user);
  void give_back(const std::string& id);

  // How the device that has it is asked to make itself known on the network; an empty function: not any more.
  void on_announce(const std::string& id, std::function<void()> announce);
  // Asks the devices of these names, which are ids of back ends or of devices; all when there are none.
  void announce(const std::vector<std::string>& names) const;
  // Fails when it is the name neither of a back end nor of a device that has one.
  Status check_name(const std::string& name) const;

  // In the order in which they came.
  const std::vector<std::pair<std::string, Netdev>>& all() const { return netdevs_; }

 private:
  using Entry = std::vector<std::pair<std::string, Netdev>>::iterator;
  Entry find(const std::string& id);
  Error missing(const std::string& id) const;
  Status check_descriptors(const NetOptions& options) const;

  Drive drive_;
  std::vector<std::pair<std::string, Netdev>> netdevs_;
};

}  // namespace nacre
