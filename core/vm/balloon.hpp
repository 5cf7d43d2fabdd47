// The machine's one balloon device, and the devices that exclude it because they hold pages of the guest.
#pragma once

#include <nacre/abi/balloon.h>

#include <map>
#include <string>

#include "core/base/result.hpp"

namespace nacre {

// Main thread only.
class Balloon {
 public:
  // Makes `device` the balloon. Fails when there is one already, or when a device has pinned memory. `ops` and `self`
  // stay the device's and must live until detach().
  Status attach(const std::string& device, const nacre_balloon_ops& ops, void* self);
  void detach();

  // `device` holds pages of the guest's memory. Fails when there is a balloon. Counted.
  Status pin(const std::string& device);
  void unpin(const std::string& device);

  // What the ops of the same name do; of class DeviceNotActive when there is no balloon or its driver is not active.
  Status set_target(uint64_t bytes);
  Result<uint64_t> actual() const;
  Result<nacre_balloon_stats> stats() const;

 private:
  std::string device_;  // empty when there is none
  nacre_balloon_ops ops_{};
  void* self_ = nullptr;
  std::map<std::string, uint32_t> pins_;  // by device
};

}  // namespace nacre
