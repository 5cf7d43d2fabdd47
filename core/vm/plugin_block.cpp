// A plugin's disks.
#include "core/backend/block_driver.hpp"
#include "core/backend/block_options.hpp"
#include "core/vm/plugin_back_end.hpp"

namespace nacre {
namespace {

class PluginBlock : public BlockDriver {
 public:
  PluginBackEnd<nacre_block_driver_ops> end;

  void describe(nacre_block_info& info) const override {
    info.request_size = sizeof(nacre_block_request);
    Breadcrumb crumb = end.enter("info");
    end.ops().info(end.self(), &info);
  }
  Status open(EventLoop& loop, nacre_block_completed completed, void* opaque) override {
    Status outcome;
    loop.call([&] {
      outcome = end.open(loop, [&](nacre_error* slot) { return end.ops().open(end.self(), completed, opaque, slot); });
    });
    return outcome;
  }
  void close() override {
    Breadcrumb crumb = end.enter("close");
    end.ops().close(end.self());
  }
  void submit(nacre_block_request* const* requests, uint32_t n) override {
    Breadcrumb crumb = end.enter("submit");
    end.ops().submit(end.self(), requests, n);
  }
  void drain() override {
    if (!end.ops().drain) return;
    Breadcrumb crumb = end.enter("drain");
    end.ops().drain(end.self());
  }
};

}  // namespace

Result<std::unique_ptr<BlockDriver>> open_plugin_block(VirtualMachine& vm, const BlockOptions& options) {
  auto disk = std::make_unique<PluginBlock>();
  Status made = disk->end.make(vm, {NACRE_KIND_BLOCK, options.id, options.driver, options.properties});
  if (!made) return made.error();
  return std::unique_ptr<BlockDriver>(std::move(disk));
}

}  // namespace nacre
