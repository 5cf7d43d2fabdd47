#include "core/backend/net_tap.hpp"

#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include <cerrno>

#include "core/backend/net_tap_open.hpp"

namespace nacre {
namespace {

unsigned tun_offloads(uint32_t offloads) {
  unsigned flags = 0;
  // The kernel takes the segmentations only together with checksums.
  if (!(offloads & NACRE_NET_CSUM)) return 0;
  flags |= TUN_F_CSUM;
  if (offloads & NACRE_NET_TSO4) flags |= TUN_F_TSO4;
  if (offloads & NACRE_NET_TSO6) flags |= TUN_F_TSO6;
  if (offloads & NACRE_NET_ECN && flags & (TUN_F_TSO4 | TUN_F_TSO6)) flags |= TUN_F_TSO_ECN;
  return flags;
}

class NetTap : public NetBackend {
 public:
  NetTap(const NetOptions& options, std::vector<Fd> queues, std::vector<Fd> vhosts)
      : NetBackend(options), queues_(std::move(queues)), vhosts_(std::move(vhosts)), attached_(queues_.size(), true) {
    for (uint32_t wanted : {NACRE_NET_CSUM, NACRE_NET_TSO4, NACRE_NET_TSO6, NACRE_NET_ECN}) {
      const uint32_t with = wanted == NACRE_NET_ECN ? NACRE_NET_TSO4 | NACRE_NET_TSO6 : 0u;
      if (set_offloads(NACRE_NET_CSUM | with | wanted) == NACRE_OK) gives_ |= wanted;
    }
    set_offloads(0);
  }

  void describe(nacre_net_info& info) const override {
    info.n_queues = static_cast<uint32_t>(queues_.size());
    info.max_frame = kMaxFrame;
    info.takes = NACRE_NET_CSUM | NACRE_NET_TSO4 | NACRE_NET_TSO6 | NACRE_NET_ECN;
    info.gives = gives_;
    info.vhost = !vhosts_.empty();
  }

  int fd(uint32_t queue) const override { return queue < queues_.size() ? queues_[queue].get() : -1; }
  int vhost_fd(uint32_t queue) const override { return queue < vhosts_.size() ? vhosts_[queue].get() : -1; }

  int64_t receive(uint32_t queue, const iovec* iov, uint32_t n_iov) override {
    for (;;) {
      ssize_t n = ::readv(queues_[queue].get(), iov, static_cast<int>(n_iov));
      if (n >= 0) return n;
      // EBADFD: the interface is gone, or this queue is detached. Where the interface is gone, poll() says so once.
      if (errno != EINTR) return 0;
    }
  }

  int32_t send(uint32_t queue, const iovec* iov, uint32_t n_iov) override {
    for (;;) {
      if (::writev(queues_[queue].get(), iov, static_cast<int>(n_iov)) >= 0) return 1;
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return 0;
      return errno == EINVAL || errno == EMSGSIZE ? NACRE_INVALID : NACRE_IO;
    }
  }

  nacre_status set_offloads(uint32_t offloads) override {
    const unsigned long flags = tun_offloads(offloads);
    for (Fd& queue : queues_)
      if (::ioctl(queue.get(), TUNSETOFFLOAD, flags) < 0) return NACRE_UNSUPPORTED;
    return NACRE_OK;
  }

  nacre_status set_queues(uint32_t n) override {
    if (n == 0 || n > queues_.size()) return NACRE_INVALID;
    if (queues_.size() == 1) return NACRE_OK;
    nacre_status status = NACRE_OK;
    for (uint32_t i = 0; i < queues_.size(); ++i) {
      if (attached_[i] == (i < n)) continue;
      ifreq request{};
      request.ifr_flags = i < n ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE;
      if (::ioctl(queues_[i].get(), TUNSETQUEUE, &request) < 0)
        status = NACRE_IO;
      else
        attached_[i] = i < n;
    }
    return status;
  }

 private:
  std::vector<Fd> queues_;
  std::vector<Fd> vhosts_;
  std::vector<bool> attached_;
  uint32_t gives_ = 0;
};

}  // namespace

Result<std::unique_ptr<NetBackend>> open_net_tap(const NetOptions& options) {
  const bool by_name = !options.ifname.empty();
  std::vector<Fd> queues, vhosts;
  if (by_name) {
    Result<std::vector<Fd>> opened = open_tap_queues(options);
    if (!opened) return opened.error();
    queues = std::move(*opened);
  } else if (Status checked = check_tap_descriptors(options); !checked) {
    return checked.error();
  }
  if (options.vhost && options.vhostfds.empty()) {
    for (uint32_t i = 0; i < options.pairs(); ++i) {
      Result<Fd> opened = open_vhost_net(options.id);
      if (!opened) return opened.error();
      vhosts.push_back(std::move(*opened));
    }
  }
  for (int fd : options.vhostfds)
    if (Status checked = check_vhost_descriptor(options.id, fd); !checked) return checked.error();
  // Nothing can fail from here on: now the descriptors are this back end's. Those that ifname makes superfluous too.
  for (int fd : options.fds) {
    Fd owned(fd);
    if (!by_name) queues.push_back(std::move(owned));
  }
  for (int fd : options.vhostfds) vhosts.emplace_back(fd);
  return std::unique_ptr<NetBackend>(new NetTap(options, std::move(queues), std::move(vhosts)));
}

}  // namespace nacre
