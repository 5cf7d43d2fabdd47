#include <algorithm>

#include "core/backend/block_channel.hpp"
#include "core/vm/host/services.hpp"
#include "core/vm/virtual_machine.hpp"

struct nacre_block {
  nacre_instance* instance;
  std::string id;
  std::unique_ptr<nacre::BlockChannel> channel;
};

namespace nacre::services {
namespace {

nacre_status open(nacre_instance* instance, const char* id, nacre_block_completed completed, void* opaque,
                  nacre_block** block, nacre_error* slot) noexcept {
  Disks& disks = instance->vm.disks();
  Result<std::shared_ptr<BlockBackend>> backend = disks.take(id, instance->id);
  if (!backend) return finish(backend.error(), slot, NACRE_NOT_FOUND);
  auto channel = BlockChannel::open(*backend, *instance->loop, completed, opaque);
  if (!channel) {
    disks.give_back(id);
    return finish(channel.error(), slot, NACRE_IO);
  }
  *block = new nacre_block{instance, id, std::move(*channel)};
  instance->disks.push_back(*block);
  return NACRE_OK;
}

void close(nacre_block* block) noexcept {
  // The channel takes its watches off the loop, which must be the loop's own thread's work.
  block->instance->loop->call([&] { block->channel.reset(); });
  std::erase(block->instance->disks, block);
  block->instance->vm.disks().give_back(block->id);
  delete block;
}

void info(nacre_block* block, nacre_block_info* info) noexcept {
  block->channel->backend().describe(*info);
}

void submit(nacre_block* block, nacre_block_request* const* requests, uint32_t n) noexcept {
  block->channel->submit(requests, n);
}

void drain(nacre_block* block) noexcept {
  block->channel->drain();
}

}  // namespace

bool hold(nacre_instance& instance, std::chrono::milliseconds patience, const std::function<void()>& settled,
          const void* owner) {
  bool idle = true;
  instance.loop->call([&] {
    idle = std::all_of(instance.disks.begin(), instance.disks.end(),
                       [&](nacre_block* block) { return block->channel->hold(patience, settled, owner); });
  });
  return idle;
}

void go_on(nacre_instance& instance) {
  instance.loop->call([&] {
    for (nacre_block* block : instance.disks) block->channel->go_on();
  });
}

const nacre_block_v1 kBlock{sizeof(nacre_block_v1), 0, open, close, info, submit, drain};

}  // namespace nacre::services
