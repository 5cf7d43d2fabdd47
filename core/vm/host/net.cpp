#include "core/backend/net_backend.hpp"
#include "core/plugin/breadcrumb.hpp"
#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"

struct nacre_net {
  nacre_instance* instance;
  nacre::NetBackend* backend;
};

namespace nacre::services {
namespace {

nacre_status open(nacre_instance* instance, const char* id, nacre_net** net, nacre_error* slot) noexcept {
  Result<NetBackend*> backend = instance->vm.netdevs().take(id, instance->id);
  if (!backend) return finish(backend.error(), slot, NACRE_NOT_FOUND);
  if (Status attached = (*backend)->attach(*instance->loop); !attached) {
    instance->vm.netdevs().give_back(id);
    return finish(attached, slot, NACRE_IO);
  }
  *net = new nacre_net{instance, *backend};
  return NACRE_OK;
}

void close(nacre_net* net) noexcept {
  net->backend->detach();
  net->instance->vm.netdevs().give_back(net->backend->options().id);
  delete net;
}

void info(nacre_net* net, nacre_net_info* info) noexcept {
  net->backend->describe(*info);
}
int32_t fd(nacre_net* net, uint32_t queue) noexcept {
  return net->backend->fd(queue);
}
int64_t receive(nacre_net* net, uint32_t queue, const iovec* iov, uint32_t n_iov) noexcept {
  return net->backend->receive(queue, iov, n_iov);
}
int32_t send(nacre_net* net, uint32_t queue, const iovec* iov, uint32_t n_iov) noexcept {
  return net->backend->send(queue, iov, n_iov);
}
nacre_status set_offloads(nacre_net* net, uint32_t offloads) noexcept {
  return net->backend->set_offloads(offloads);
}
nacre_status set_queues(nacre_net* net, uint32_t n) noexcept {
  return net->backend->set_queues(n);
}
int32_t vhost_fd(nacre_net* net, uint32_t queue) noexcept {
  return net->backend->vhost_fd(queue);
}
void on_announce(nacre_net* net, nacre_callback announce, void* opaque) noexcept {
  std::function<void()> call;
  if (announce)
    call = [device = net->instance, announce, opaque] {
      device->loop->call([&] {
        Breadcrumb crumb(device->plugin_id, device->id, "announce");
        announce(opaque);
      });
    };
  net->instance->vm.netdevs().on_announce(net->backend->options().id, std::move(call));
}

}  // namespace

const nacre_net_v1 kNet{sizeof(nacre_net_v1), 0,          open,     close,      info, fd, receive, send,
                        set_offloads,         set_queues, vhost_fd, on_announce};

}  // namespace nacre::services
