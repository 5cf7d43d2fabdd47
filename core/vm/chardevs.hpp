// The character back ends of a virtual machine by id, and which device has each.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/base/result.hpp"

namespace nacre {

class Chardev;

// Main thread only.
class Chardevs {
 public:
  struct Entry {
    std::string id;
    std::unique_ptr<Chardev> chardev;
    std::string user;  // id of the device that has it; empty when none has
  };

  Chardevs();
  ~Chardevs();

  Status add(const std::string& id, std::unique_ptr<Chardev> chardev);
  // Gives it to a device. Fails when there is no such back end or another device has it.
  Result<Chardev*> take(const std::string& id, const std::string& user);
  void give_back(const std::string& id);
  // Ends it. Fails when there is no such back end or a device has it.
  Status remove(const std::string& id);

  // In the order in which they came.
  const std::vector<Entry>& all() const { return entries_; }

 private:
  Entry* find(const std::string& id);

  std::vector<Entry> entries_;
};

}  // namespace nacre
