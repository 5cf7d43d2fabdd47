#include "core/vm/disks.hpp"

#include <algorithm>

#include "core/base/suggest.hpp"

namespace nacre {

Disks::Disk* Disks::find(const std::string& id) {
  auto found = std::find_if(disks_.begin(), disks_.end(), [&](auto& entry) { return entry.first == id; });
  return found == disks_.end() ? nullptr : &found->second;
}

Result<std::shared_ptr<BlockBackend>> Disks::open(const BlockOptions& options) const {
  if (options.driver.empty()) return BlockBackend::open(options);
  Result<std::unique_ptr<BlockDriver>> driver = drive_(options);
  if (!driver) return driver.error();
  return BlockBackend::open(options, std::move(*driver));
}

Status Disks::add(const BlockOptions& options) {
  if (find(options.id)) return fail("Drive {} has been added: each drive needs an id of its own.", options.id);
  Result<std::shared_ptr<BlockBackend>> backend = open(options);
  if (!backend) return backend.error();
  (*backend)->on_failure([this, id = options.id](const BlockBackend::Failure& failure) { failed_(id, failure); });
  disks_.emplace_back(options.id, Disk{std::move(*backend), ""});
  return {};
}

Result<std::shared_ptr<BlockBackend>> Disks::take(const std::string& id, const std::string& user) {
  Disk* disk = find(id);
  if (!disk) {
    std::vector<std::string> ids;
    for (auto& [name, unused] : disks_) ids.push_back(name);
    return fail("there is no drive '{}'; add one with -drive id={},file=... .{}", id, id, did_you_mean(id, ids));
  }
  if (!disk->user.empty()) return fail("drive '{}' is in use by device '{}'.", id, disk->user);
  disk->user = user;
  return disk->backend;
}

Status Disks::remove(const std::string& id) {
  Disk* disk = find(id);
  if (!disk) return fail("Drive {} not found", id);
  if (!disk->user.empty())
    return fail("drive '{}' is in use by device '{}'; take the device away with device_del first.", id, disk->user);
  std::erase_if(disks_, [&](auto& entry) { return entry.first == id; });
  return {};
}

std::string Disks::unanswered() const {
  std::string words;
  for (const auto& [id, disk] : disks_)
    if (uint32_t n = disk.backend->under_way())
      words += fmt::format("{}drive '{}', which has not answered {} request{}", words.empty() ? "" : ", ", id, n,
                           n == 1 ? "" : "s");
  return words.empty() ? "the host" : words;
}

void Disks::give_back(const std::string& id) {
  if (Disk* disk = find(id)) disk->user.clear();
}

}  // namespace nacre
