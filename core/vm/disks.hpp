// The disks of a virtual machine by id, and which device has each.
#pragma once

#include <functional>
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

  // Called on any thread when a request of the drive `id` has failed on the host.
  using Failed = std::function<void(const std::string& id, const BlockBackend::Failure&)>;
  // Makes what serves a disk of a plugin.
  using Drive = std::function<Result<std::unique_ptr<BlockDriver>>(const BlockOptions& options)>;
  Disks(Failed failed, Drive drive) : failed_(std::move(failed)), drive_(std::move(drive)) {}

  // Opens and locks the image, or has the plugin make the disk.
  Status add(const BlockOptions& options);
  // Gives it to a device. Fails when there is no such disk or another device has it.
  Result<std::shared_ptr<BlockBackend>> take(const std::string& id, const std::string& user);
  void give_back(const std::string& id);
  // Closes it. Fails when there is none of that id or a device has it.
  Status remove(const std::string& id);

  // "drive 'a', which has not answered 3 requests", of all that have some under way.
  std::string unanswered() const;
  // In the order in which they came.
  const std::vector<std::pair<std::string, Disk>>& all() const { return disks_; }

 private:
  Disk* find(const std::string& id);

  Result<std::shared_ptr<BlockBackend>> open(const BlockOptions& options) const;

  Failed failed_;
  Drive drive_;
  std::vector<std::pair<std::string, Disk>> disks_;
};

}  // namespace nacre
