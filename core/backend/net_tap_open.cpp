#include "core/backend/net_tap_open.hpp"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>

#include "core/backend/net_backend.hpp"

namespace nacre {
namespace {

// VHOST_GET_FEATURES of <linux/vhost.h>, which C++ cannot include as it is.
constexpr unsigned long kVhostGetFeatures = _IOR(0xAF, 0x00, __u64);

// What the kernel says about an interface: its IFF_* of <linux/if_tun.h>; nothing when it is no tun or tap.
std::optional<unsigned> tun_flags(const std::string& ifname) {
  const std::string path = "/sys/class/net/" + ifname + "/tun_flags";
  std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "re"), &std::fclose);
  char text[32];
  if (!file || !std::fgets(text, sizeof text, file.get())) return std::nullopt;
  char* end = nullptr;
  const unsigned long flags = std::strtoul(text, &end, 16);
  if (end == text) return std::nullopt;
  return static_cast<unsigned>(flags);
}

// Why TUNSETIFF has failed with EINVAL or, where that is what it comes to, another reason.
Error mismatch(const NetOptions& options, int reason) {
  const std::string& ifname = options.ifname;
  const bool exists = ::if_nametoindex(ifname.c_str()) != 0;
  const std::optional<unsigned> flags = tun_flags(ifname);
  if (reason == EINVAL && flags && !(*flags & IFF_TAP))
    return fail(
        "netdev '{}': interface '{}' is a tun and carries no Ethernet frames; use a tap ('ip tuntap add dev "
        "NAME mode tap').",
        options.id, ifname);
  if (reason == EINVAL && flags && *flags & IFF_MULTI_QUEUE && options.pairs() == 1)
    return fail(
        "netdev '{}': Tap device supports mq, but command set queue pairs 1. Add queues=N, or make '{}' without "
        "multi_queue.",
        options.id, ifname);
  if (reason == EINVAL && flags && !(*flags & IFF_MULTI_QUEUE) && options.pairs() > 1)
    return fail(
        "netdev '{}': Tap device doesn't support mq, but command set queue pairs {}. Make '{}' with multi_queue, or "
        "leave queues out.",
        options.id, options.pairs(), ifname);
  if (exists && !flags)
    return fail("netdev '{}': interface '{}' is no tap; name one, or make it with 'ip tuntap add dev NAME mode tap'.",
                options.id, ifname);
  if (reason == EBUSY)
    return fail("netdev '{}': Tap device already in use: another process, or another netdev, has '{}'.", options.id,
                ifname);
  if (reason == E2BIG)
    return fail("netdev '{}': tap '{}' has no queue left for this process; use fewer queues.", options.id, ifname);
  if ((reason == EPERM || reason == EACCES) && !exists)
    return fail(
        "netdev '{}': there is no tap '{}', and this process may not make one; make it with 'ip tuntap add dev {} mode "
        "tap user NAME'.",
        options.id, ifname, ifname);
  if (reason == EPERM || reason == EACCES)
    return fail(
        "netdev '{}': this process may not use tap '{}'; give the tap to its user with 'ip tuntap add dev {} mode tap "
        "user NAME', or pass it as fd=.",
        options.id, ifname, ifname);
  return fail("netdev '{}': tap '{}' cannot be used: {}.", options.id, ifname, std::strerror(reason));
}

// Readies one queue of a tap.
Status prepare(const NetOptions& options, int fd) {
  int header = NACRE_NET_HEADER;
  if (::ioctl(fd, TUNSETVNETHDRSZ, &header) < 0)
    return fail("netdev '{}': the tap takes no frame headers of {} bytes: {}.", options.id, header,
                std::strerror(errno));
  // What the last user had turned on; a tap without offloads refuses nothing but to turn one on.
  (void)::ioctl(fd, TUNSETOFFLOAD, 0ul);
  if (int flags = ::fcntl(fd, F_GETFL); flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
    return fail("netdev '{}': descriptor {} cannot be set not to block: {}.", options.id, fd, std::strerror(errno));
  (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return {};
}

}  // namespace

Result<std::vector<Fd>> open_tap_queues(const NetOptions& options) {
  const std::string node = options.path.empty() ? NetOptions::kTunNode : options.path;
  std::vector<Fd> queues;
  for (uint32_t i = 0; i < options.pairs(); ++i) {
    Fd fd(::open(node.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!fd)
      return fail("netdev '{}': cannot open '{}': {}; {}", options.id, node, std::strerror(errno),
                  errno == EACCES || errno == EPERM ? "this process needs the right to read and write it."
                                                    : "is the kernel module 'tun' loaded?");
    unsigned features = 0;
    if (::ioctl(fd.get(), TUNGETFEATURES, &features) < 0)
      return fail("netdev '{}': '{}' makes no taps; leave path out for {}.", options.id, node, NetOptions::kTunNode);
    if (options.pairs() > 1 && !(features & IFF_MULTI_QUEUE))
      return fail("netdev '{}': Needs multiqueue, but no kernel support for IFF_MULTI_QUEUE available; use queues=1.",
                  options.id);
    ifreq request{};
    options.ifname.copy(request.ifr_name, IFNAMSIZ - 1);
    request.ifr_flags =
        static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (options.pairs() > 1 ? IFF_MULTI_QUEUE : 0));
    if (::ioctl(fd.get(), TUNSETIFF, &request) < 0) return mismatch(options, errno);
    if (Status ready = prepare(options, fd.get()); !ready) return ready.error();
    queues.push_back(std::move(fd));
  }
  return queues;
}

Status check_tap_descriptors(const NetOptions& options) {
  std::string ifname;
  for (int fd : options.fds) {
    ifreq request{};
    if (::fcntl(fd, F_GETFD) < 0)
      return fail(
          "netdev '{}': there is no descriptor {}; open the tap before this program starts, and let it inherit "
          "that.",
          options.id, fd);
    if (::ioctl(fd, TUNGETIFF, &request) < 0)
      return fail("netdev '{}': descriptor {} is not a tap; open {} and attach it with TUNSETIFF.", options.id, fd,
                  NetOptions::kTunNode);
    const unsigned flags = static_cast<unsigned short>(request.ifr_flags);
    if (!(flags & IFF_TAP))
      return fail("netdev '{}': descriptor {} is a tun and carries no Ethernet frames; attach it with IFF_TAP.",
                  options.id, fd);
    if (!(flags & IFF_VNET_HDR) || !(flags & IFF_NO_PI))
      return fail(
          "netdev '{}': the tap at descriptor {} was attached without {}; attach it with IFF_TAP, IFF_NO_PI and "
          "IFF_VNET_HDR.",
          options.id, fd, flags & IFF_NO_PI ? "IFF_VNET_HDR" : "IFF_NO_PI");
    if (!ifname.empty() && ifname != request.ifr_name)
      return fail("netdev '{}': its descriptors belong to two taps, '{}' and '{}'; one netdev is one tap.", options.id,
                  ifname, request.ifr_name);
    ifname = request.ifr_name;
    if (Status ready = prepare(options, fd); !ready) return ready;
  }
  return {};
}

Result<Fd> open_vhost_net(const std::string& id) {
  Fd fd(::open("/dev/vhost-net", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (fd) return fd;
  return fail("netdev '{}': vhost=on cannot open /dev/vhost-net: {}; {}", id, std::strerror(errno),
              errno == EACCES || errno == EPERM ? "this process needs the right to read and write it, or vhost=off."
                                                : "load the kernel module 'vhost_net', or use vhost=off.");
}

Status check_vhost_descriptor(const std::string& id, int fd) {
  uint64_t features = 0;
  if (::fcntl(fd, F_GETFD) < 0)
    return fail("netdev '{}': there is no descriptor {} for vhost; open /dev/vhost-net before this program starts.", id,
                fd);
  if (::ioctl(fd, kVhostGetFeatures, &features) < 0)
    return fail("netdev '{}': descriptor {} is not one of /dev/vhost-net.", id, fd);
  (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return {};
}

}  // namespace nacre
