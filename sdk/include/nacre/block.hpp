// A block back end, for a device.
#pragma once

#include <nacre/boundary.hpp>
#include <span>

namespace nacre::sdk {

// Holds one disk while it lives. See <nacre/abi/block.h> for threads and completion.
class Block {
 public:
  Block() = default;
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() { close(); }

  Status open(nacre_instance* instance, const char* id, nacre_block_completed completed, void* opaque,
              nacre_error* slot) {
    Status status = ErrorSlot::wrap(slot, "the disk cannot be used", [&](nacre_error* error) {
      return host.block->open(instance, id, completed, opaque, &block_, error);
    });
    return status;
  }
  void close() {
    if (block_) host.block->close(block_);
    block_ = nullptr;
  }
  bool is_open() const { return block_ != nullptr; }
  nacre_block_info info() const {
    nacre_block_info info{};
    info.size = sizeof info;
    host.block->info(block_, &info);
    return info;
  }
  void submit(std::span<nacre_block_request* const> requests) {
    host.block->submit(block_, requests.data(), static_cast<uint32_t>(requests.size()));
  }
  void drain() {
    if (block_) host.block->drain(block_);
  }

 private:
  nacre_block* block_ = nullptr;
};

}  // namespace nacre::sdk
