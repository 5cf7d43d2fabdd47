// The disks of a virtual machine by id, and which device has each.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/backend/block_backend.hpp"

namespace nacre {

// Main thread only.
class Disks {
 public:
  struct Disk {
    std::shared_ptr<BlockBackend> backend;
    std::string user;  // id of the device that has it; empty when none has
  };

  // Opens and locks the image.
  Status add(const BlockOptions& options);
  // Gives it to a device. Fails when there is no such disk or another device has it.
  Result<std::shared_ptr<BlockBackend>> take(const std::string& id, const std::string& user);
  void give_back(const std::string& id);
  // Closes it. Fails when there is none of that id or a device has it.
  Status remove(const std::string& id);

  // In the order in which they came.
  const std::vector<std::pair<std::string, Disk>>& all() const { return disks_; }

 private:
  Disk* find(const std::string& id);

  std::vector<std::pair<std::string, Disk>> disks_;
};

}  // namespace nacre
