// How often a block request crosses the contract's border, in both directions, in the plugin virtio-blk.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <list>
#include <nacre/fake/host.hpp>
#include <nacre/fake/virtio_driver.hpp>

namespace nacre::test {
namespace {

using fake::VirtioDriver;

uint64_t crossings = 0;

// A function of a table with one that counts and calls it. `Slot` tells two of the same type apart.
template <int Slot, typename Function>
struct Counted;
template <int Slot, typename R, typename... A>
struct Counted<Slot, R (*)(A...) noexcept> {
  static inline R (*real)(A...) noexcept = nullptr;
  static R call(A... arguments) noexcept {
    ++crossings;
    return real(arguments...);
  }
};
#define COUNT(table, function)                                                        \
  do {                                                                                \
    using Counter = Counted<__COUNTER__, std::remove_cv_t<decltype(table.function)>>; \
    Counter::real = table.function;                                                   \
    table.function = Counter::call;                                                   \
  } while (0)

// What the host calls back: counted on its way in. Kept for the life of the process.
struct Callback {
  nacre_callback real;
  void* opaque;
  static void call(void* self) noexcept {
    ++crossings;
    static_cast<Callback*>(self)->real(static_cast<Callback*>(self)->opaque);
  }
};
std::list<Callback> callbacks;
nacre_loop_v1 loops;
nacre_block_v1 blocks;
nacre_memory_v1 memory;
nacre_virtio_v1 virtio;
decltype(loops.watch) real_watch;
decltype(blocks.open) real_open;
nacre_block_completed real_completed;

nacre_status watch(nacre_loop* loop, int32_t fd, uint32_t events, nacre_callback ready, void* opaque,
                   nacre_watch** made, nacre_error* slot) noexcept {
  Callback& callback = callbacks.emplace_back(Callback{ready, opaque});
  return real_watch(loop, fd, events, Callback::call, &callback, made, slot);
}
void completed(void* opaque, nacre_block_request* const* requests, uint32_t n) noexcept {
  ++crossings;
  real_completed(opaque, requests, n);
}
nacre_status open_block(nacre_instance* instance, const char* id, nacre_block_completed done, void* opaque,
                        nacre_block** block, nacre_error* slot) noexcept {
  real_completed = done;
  return real_open(instance, id, completed, opaque, block, slot);
}

// The fake host's services, those of the data path with counters.
const void* get_extension(const char* id) noexcept {
  const void* table = fake::hello()->get_extension(id);
  auto take = [&](auto& copy) { std::memcpy(&copy, table, sizeof copy); };
  const std::string_view name = id;
  if (name == NACRE_EXT_LOOP) {
    take(loops);
    COUNT(loops, is_current);
    COUNT(loops, timer_arm);
    COUNT(loops, post);
    COUNT(loops, call);
    real_watch = loops.watch;
    loops.watch = watch;
    return &loops;
  }
  if (name == NACRE_EXT_BLOCK) {
    take(blocks);
    COUNT(blocks, info);
    COUNT(blocks, submit);
    real_open = blocks.open;
    blocks.open = open_block;
    return &blocks;
  }
  if (name == NACRE_EXT_MEMORY) {
    take(memory);
    COUNT(memory, acquire);
    COUNT(memory, mark_dirty);
    COUNT(memory, read);
    COUNT(memory, write);
    return &memory;
  }
  if (name == NACRE_EXT_VIRTIO) {
    take(virtio);
    COUNT(virtio, set_config);
    return &virtio;
  }
  return table;
}

// Crossings of `n` reads that the driver offers together.
double crossings_of(nacre_instance& instance, VirtioDriver& driver, uint16_t n) {
  for (uint16_t i = 0; i < n; ++i) {
    const uint64_t at = fake::kBuffers + 4096u * i;
    std::memset(instance.memory.at(at, 16), 0, 16);  // type 0, sector 0: a read
    VirtioDriver::Descriptor* table = driver.table(0);
    const auto next = [](unsigned entry) { return static_cast<uint16_t>(entry); };
    // 64 entries: two to a request, header and data with the status byte at its end.
    table[2 * i] = {at, 16, VirtioDriver::kNext, next(2u * i + 1)};
    table[2 * i + 1] = {at + 512, 513, VirtioDriver::kWrite, 0};
    driver.offer(0, next(2u * i));
  }
  const uint16_t before = driver.used(0);
  const uint64_t interrupts = driver.interrupts();
  crossings = 0;
  EXPECT_TRUE(instance.loop.run_until([&] { return driver.used(0) == static_cast<uint16_t>(before + n); },
                                      std::chrono::seconds(5)));
  return static_cast<double>(crossings + driver.interrupts() - interrupts) / n;
}

TEST(Crossings, OfABlockRequest) {
  void* library = ::dlopen(TREE_PLUGIN_DIRECTORY "/virtio-blk.so", RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << ::dlerror();
  auto entry = reinterpret_cast<nacre_plugin_entry>(::dlsym(library, NACRE_ENTRY_SYMBOL));
  static nacre_host_hello hello = *fake::hello();
  hello.get_extension = get_extension;
  const nacre_type& type = *entry(&hello)->types[0];
  const auto& ops = *static_cast<const nacre_device_ops*>(type.ops);

  nacre_loop loop;
  fake::Memory ram;
  nacre_instance instance(ram, loop, "disk");
  instance.properties["drive"] = {NACRE_PROP_NODE, 0, "drive"};
  instance.properties["num-queues"] = {NACRE_PROP_U64, 1, "1"};
  instance.properties["queue-size"] = {NACRE_PROP_U64, 64, "64"};
  void* self = nullptr;
  nacre_error slot;
  ASSERT_EQ(ops.create(&instance, &self, &slot), NACRE_OK) << slot.text;
  ASSERT_EQ(ops.realize(self, &slot), NACRE_OK) << slot.text;
  {
    VirtioDriver driver(instance);
    ASSERT_EQ(driver.activate(~uint64_t{0} & ~(uint64_t{1} << 29)), NACRE_OK);  // interrupts as they come
    loop.settle();
    const double alone = crossings_of(instance, driver, 1);
    const double many = crossings_of(instance, driver, 32);
    std::printf("figure: crossings of the contract per block request: %.2f alone, %.3f of 32 together\n", alone, many);
    // Kick, submission, completion, interrupt; of many together each once.
    EXPECT_EQ(alone, 4);
    EXPECT_EQ(many, 4.0 / 32);
  }
  ops.unrealize(self);
  ops.destroy(self);
}

}  // namespace
}  // namespace nacre::test
