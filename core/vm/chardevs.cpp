#include "core/vm/chardevs.hpp"

#include <algorithm>

#include "core/backend/chardev.hpp"
#include "core/base/suggest.hpp"

namespace nacre {

Chardevs::Chardevs() = default;
Chardevs::~Chardevs() = default;

Chardevs::Entry* Chardevs::find(const std::string& id) {
  auto found = std::find_if(entries_.begin(), entries_.end(), [&](auto& entry) { return entry.id == id; });
  return found == entries_.end() ? nullptr : &*found;
}

Status Chardevs::add(const std::string& id, std::unique_ptr<Chardev> chardev) {
  if (find(id)) return fail("Chardev {} has been added: each chardev needs an id of its own.", id);
  entries_.push_back({id, std::move(chardev), ""});
  return {};
}

Result<Chardev*> Chardevs::take(const std::string& id, const std::string& user) {
  Entry* entry = find(id);
  if (!entry) {
    std::vector<std::string> ids;
    for (const Entry& known : entries_) ids.push_back(known.id);
    return fail("there is no chardev '{}'; add one with -chardev ...,id={}.{}", id, id, did_you_mean(id, ids));
  }
  if (!entry->user.empty()) return fail("chardev '{}' is in use by device '{}'.", id, entry->user);
  entry->user = user;
  return entry->chardev.get();
}

void Chardevs::give_back(const std::string& id) {
  if (Entry* entry = find(id)) entry->user.clear();
}

Status Chardevs::remove(const std::string& id) {
  Entry* entry = find(id);
  if (!entry) return fail("Chardev {} not found", id);
  if (!entry->user.empty())
    return fail("Chardev {} is in use by device '{}'; remove that with device_del first.", id, entry->user);
  entries_.erase(entries_.begin() + (entry - entries_.data()));
  return {};
}

}  // namespace nacre
