#include "core/backend/net_options.hpp"

#include <net/if.h>

#include <algorithm>
#include <charconv>

namespace nacre {
namespace {

// The first that stands twice in the lists together, or -1.
int repeated(std::vector<int> all, const std::vector<int>& more) {
  all.insert(all.end(), more.begin(), more.end());
  std::sort(all.begin(), all.end());
  auto twice = std::adjacent_find(all.begin(), all.end());
  return twice == all.end() ? -1 : *twice;
}

}  // namespace

uint32_t NetOptions::pairs() const {
  if (queues) return queues;
  return ifname.empty() && !fds.empty() ? static_cast<uint32_t>(fds.size()) : 1;
}

Status NetOptions::check() const {
  if (id.empty()) return fail("a netdev needs an id: add 'id=NAME' to it.");
  if (!driver.empty()) return {};
  if (queues > kMaxQueues)
    return fail("netdev '{}': queues={} is out of range, it is 1 to {}.", id, queues, kMaxQueues);
  if (kind == NetKind::User) {
    if (!ifname.empty() || !path.empty() || !fds.empty() || queues > 1 || vhost || !vhostfds.empty())
      return fail("netdev '{}': a user network takes no key but id; leave the others out, or use tap.", id);
    return {};
  }
  if (ifname.empty() && fds.empty())
    return fail("netdev '{}': Tap device is missing, use 'ifname' or 'fd' to configure a tap device.", id);
  if (ifname.size() >= IFNAMSIZ)
    return fail("netdev '{}': no interface has a name as long as '{}'; at most {} bytes are possible.", id, ifname,
                IFNAMSIZ - 1);
  if (!path.empty() && ifname.empty()) return fail("netdev '{}': path goes with ifname; leave it out.", id);
  if (ifname.empty() && pairs() != fds.size())
    return fail("netdev '{}': queues={} does not fit the number of descriptors, {}; leave queues out.", id, queues,
                fds.size());
  if (fds.size() > kMaxQueues)
    return fail("netdev '{}': {} descriptors are given; at most {} queues are possible.", id, fds.size(), kMaxQueues);
  if (!vhost && !vhostfds.empty())
    return fail(
        "netdev '{}': Argument 'vhostfd' or 'vhostfds' are not needed for virtio-net device; add vhost=on or leave "
        "them out.",
        id);
  if (!vhostfds.empty() && vhostfds.size() != pairs())
    return fail("netdev '{}': The num of vhostfds must equal to fds: there are {} of them for {} pairs of queues.", id,
                vhostfds.size(), pairs());
  if (int twice = repeated(fds, vhostfds); twice >= 0)
    return fail("netdev '{}': descriptor {} is given twice; each queue needs one of its own.", id, twice);
  return {};
}

Result<std::vector<int>> parse_descriptors(std::string_view key, std::string_view text) {
  std::vector<int> descriptors;
  for (std::string_view rest = text;;) {
    const std::string_view word = rest.substr(0, rest.find(':'));
    int number = -1;
    auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (error != std::errc() || end != word.data() + word.size() || number < 0)
      return fail("{}: '{}' is not the number of a descriptor; write a decimal number, or several with ':' between.",
                  key, word);
    descriptors.push_back(number);
    if (word.size() == rest.size()) return descriptors;
    rest.remove_prefix(word.size() + 1);
  }
}

}  // namespace nacre
