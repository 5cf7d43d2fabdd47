// Random bytes of the host: character devices that are open, by the id of their -object rng-random.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/base/fd.hpp"
#include "core/base/result.hpp"

namespace nacre {

// Main thread only.
class RandomSources {
 public:
  // Opens the file, which must be a character device, for reading without blocking. Fails also for an id in use.
  Status add(const std::string& id, const std::string& filename);
  // The descriptor of a source, which stays open as long as this object lives. Fails when there is none of that id.
  Result<int> find(const std::string& id) const;

 private:
  std::vector<std::pair<std::string, Fd>> sources_;
};

}  // namespace nacre
