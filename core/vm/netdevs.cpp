#include "core/vm/netdevs.hpp"

#include <algorithm>

#include "core/base/suggest.hpp"

namespace nacre {

Netdevs::Entry Netdevs::find(const std::string& id) {
  return std::find_if(netdevs_.begin(), netdevs_.end(), [&](auto& entry) { return entry.first == id; });
}

Error Netdevs::missing(const std::string& id) const {
  std::vector<std::string> ids;
  for (auto& [name, unused] : netdevs_) ids.push_back(name);
  return fail("Netdev: \"{}\" not found for net device; add it with -netdev tap,id={},ifname=... or netdev_add.{}", id,
              id, did_you_mean(id, ids));
}

// Two that close the same descriptor would close one that has become something else by then.
Status Netdevs::check_descriptors(const NetOptions& options) const {
  for (const auto& [id, netdev] : netdevs_)
    for (uint32_t queue = 0; netdev.backend->options().driver.empty() && queue < netdev.backend->options().pairs();
         ++queue)
      for (const std::vector<int>* given : {&options.fds, &options.vhostfds})
        for (int fd : *given)
          if (fd == netdev.backend->fd(queue) || fd == netdev.backend->vhost_fd(queue))
            return fail("netdev '{}': descriptor {} is that of netdev '{}'; each needs one of its own.", options.id, fd,
                        id);
  return {};
}

Status Netdevs::add(const NetOptions& options) {
  if (find(options.id) != netdevs_.end())
    return fail("Netdev {} has been added: each netdev needs an id of its own.", options.id);
  if (Status free = check_descriptors(options); !free) return free;
  Result<std::unique_ptr<NetBackend>> backend = options.driver.empty() ? NetBackend::open(options) : drive_(options);
  if (!backend) return backend.error();
  netdevs_.emplace_back(options.id, Netdev{std::move(*backend), ""});
  return {};
}

Status Netdevs::remove(const std::string& id) {
  Entry entry = find(id);
  if (entry == netdevs_.end()) {
    std::vector<std::string> ids;
    for (auto& [name, unused] : netdevs_) ids.push_back(name);
    return fail("Netdev {} not found.{}", id, did_you_mean(id, ids));
  }
  if (!entry->second.user.empty())
    return fail("netdev '{}' is in use by device '{}'; remove that first, with device_del.", id, entry->second.user);
  netdevs_.erase(entry);
  return {};
}

Result<NetBackend*> Netdevs::take(const std::string& id, const std::string& user) {
  Entry entry = find(id);
  if (entry == netdevs_.end()) return missing(id);
  if (!entry->second.user.empty()) return fail("netdev '{}' is in use by device '{}'.", id, entry->second.user);
  entry->second.user = user;
  return entry->second.backend.get();
}

void Netdevs::give_back(const std::string& id) {
  Entry entry = find(id);
  if (entry == netdevs_.end()) return;
  entry->second.user.clear();
  entry->second.announce = nullptr;
}

void Netdevs::on_announce(const std::string& id, std::function<void()> announce) {
  if (Entry entry = find(id); entry != netdevs_.end()) entry->second.announce = std::move(announce);
}

void Netdevs::announce(const std::vector<std::string>& names) const {
  for (const std::pair<std::string, Netdev>& entry : netdevs_) {
    auto is_it = [&](const std::string& name) { return name == entry.first || name == entry.second.user; };
    if (!names.empty() && std::none_of(names.begin(), names.end(), is_it)) continue;
    if (entry.second.announce) entry.second.announce();
  }
}

Status Netdevs::check_name(const std::string& name) const {
  std::vector<std::string> names;
  for (const auto& [id, netdev] : netdevs_) {
    names.push_back(id);
    if (!netdev.user.empty() && netdev.user != id) names.push_back(netdev.user);
  }
  if (std::find(names.begin(), names.end(), name) != names.end()) return {};
  return fail("there is neither a netdev nor a NIC '{}'.{}", name, did_you_mean(name, names));
}

}  // namespace nacre
