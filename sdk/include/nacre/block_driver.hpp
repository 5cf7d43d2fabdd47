// A disk of a plugin's own as a class: derive from BlockDriver and describe it with block_type().
#pragma once

#include <nacre/plugin.hpp>
#include <span>

namespace nacre::sdk {

// The base of every disk. See <nacre/abi/block_driver.h> for threads, and for what the host has checked of a request.
class BlockDriver : public Instance {
 public:
  using Instance::Instance;

  // [main] Makes what the properties describe. On failure the destructor follows.
  virtual Status realize(nacre_error* slot) = 0;
  // [main, loop] Capacity and so on; the sizes are filled in.
  virtual void info(nacre_block_info& info) const = 0;
  // [loop] A device takes the disk, and gives it back.
  virtual Status open(nacre_error*) { return {}; }
  virtual void close() {}
  // [loop] Starts them; each ends with complete().
  virtual void submit(std::span<nacre_block_request* const> requests) = 0;
  // [loop] Returns when all are complete. Not for a disk that completes them inside submit().
  virtual void drain() {}

 protected:
  // [loop] These are done, each with its status.
  void complete(std::span<nacre_block_request* const> requests) {
    completed_(opaque_, requests.data(), static_cast<uint32_t>(requests.size()));
  }

 private:
  template <typename D>
  friend struct BlockDriverTable;
  nacre_block_completed completed_ = nullptr;
  void* opaque_ = nullptr;
};

// The C table of a class D of disks, with D(nacre_instance*) as its constructor.
template <typename D>
struct BlockDriverTable {
  static BlockDriver* of(void* self) { return static_cast<BlockDriver*>(self); }
  static nacre_status create(nacre_instance* instance, void** self, nacre_error* slot) noexcept {
    return boundary::create<BlockDriver, D>(instance, self, slot);
  }
  static void destroy(void* self) noexcept { delete of(self); }
  static nacre_status open(void* self, nacre_block_completed completed, void* opaque, nacre_error* slot) noexcept {
    of(self)->completed_ = completed;
    of(self)->opaque_ = opaque;
    return boundary::guard(slot, [&] { return of(self)->open(slot); });
  }
  static void close(void* self) noexcept { of(self)->close(); }
  static void info(void* self, nacre_block_info* info) noexcept { of(self)->info(*info); }
  static void submit(void* self, nacre_block_request* const* requests, uint32_t n) noexcept {
    of(self)->submit({requests, n});
  }
  static void drain(void* self) noexcept { of(self)->drain(); }

  static constexpr nacre_block_driver_ops kOps{
      sizeof(nacre_block_driver_ops), 0, create, destroy, open, close, info, submit, drain};
};

// Describes the driver `name` made of the class D, as in `-drive driver=name`. Everything pointed to must live as long
// as the process.
template <typename D, size_t N>
constexpr nacre_type block_type(const char* name, const char* help, const nacre_prop (&props)[N]) {
  return type_of(NACRE_KIND_BLOCK, name, help, props, &BlockDriverTable<D>::kOps);
}

}  // namespace nacre::sdk
