// A plugin's networks.
#include "core/backend/net_backend.hpp"
#include "core/vm/plugin_back_end.hpp"

namespace nacre {
namespace {

class PluginNet : public NetBackend {
 public:
  explicit PluginNet(const NetOptions& options) : NetBackend(options) {}

  PluginBackEnd<nacre_net_driver_ops> end;

  Status attach(EventLoop& loop) override {
    Status outcome;
    loop.call([&] { outcome = end.open(loop, [&](nacre_error* slot) { return end.ops().open(end.self(), slot); }); });
    if (outcome) loop_ = &loop;
    return outcome;
  }
  void detach() override {
    if (!loop_) return;
    std::exchange(loop_, nullptr)->call([&] {
      Breadcrumb crumb = end.enter("close");
      end.ops().close(end.self());
    });
  }
  void describe(nacre_net_info& info) const override {
    Breadcrumb crumb = end.enter("info");
    end.ops().info(end.self(), &info);
    info.n_queues = std::clamp(info.n_queues, 1u, end.ops().set_queues ? NACRE_NET_QUEUES_MAX : 1u);
    info.max_frame = std::clamp<uint32_t>(info.max_frame, 1514, kMaxFrame);
    if (!end.ops().set_offloads) info.gives = 0;
    info.vhost = 0;
  }
  int fd(uint32_t queue) const override {
    Breadcrumb crumb = end.enter("fd");
    return end.ops().fd(end.self(), queue);
  }
  int64_t receive(uint32_t queue, const iovec* iov, uint32_t n_iov) override {
    Breadcrumb crumb = end.enter("receive");
    return end.ops().receive(end.self(), queue, iov, n_iov);
  }
  int32_t send(uint32_t queue, const iovec* iov, uint32_t n_iov) override {
    Breadcrumb crumb = end.enter("send");
    return end.ops().send(end.self(), queue, iov, n_iov);
  }
  nacre_status set_offloads(uint32_t offloads) override {
    if (!end.ops().set_offloads) return offloads ? NACRE_UNSUPPORTED : NACRE_OK;
    Breadcrumb crumb = end.enter("set_offloads");
    return end.ops().set_offloads(end.self(), offloads);
  }
  nacre_status set_queues(uint32_t n) override {
    if (!end.ops().set_queues) return n == 1 ? NACRE_OK : NACRE_INVALID;
    Breadcrumb crumb = end.enter("set_queues");
    return end.ops().set_queues(end.self(), n);
  }
  int vhost_fd(uint32_t) const override { return -1; }

 private:
  EventLoop* loop_ = nullptr;
};

}  // namespace

Result<std::unique_ptr<NetBackend>> open_plugin_net(VirtualMachine& vm, const NetOptions& options) {
  if (Status fits = options.check(); !fits) return fits.error();
  auto net = std::make_unique<PluginNet>(options);
  Status made = net->end.make(vm, {NACRE_KIND_NET, options.id, options.driver, options.properties});
  if (!made) return made.error();
  return std::unique_ptr<NetBackend>(std::move(net));
}

}  // namespace nacre
