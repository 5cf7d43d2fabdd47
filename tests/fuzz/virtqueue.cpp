// The walk through a ring in memory that the driver has filled, whole or while the device is at work.
#include <deque>
#include <memory>
#include <nacre/virtqueue.hpp>
#include <vector>

#include "tests/fuzz/input.hpp"

namespace {

using namespace nacre;
using namespace nacre::sdk;
using fuzz::require;

constexpr uint64_t kPiece = 16 << 10, kHigh = uint64_t{1} << 32;

// Three regions: two that go on in guest-physical addresses but not in the host's, and one far above. Each stands by
// itself on the heap, where AddressSanitizer sees every access beside it.
class Guest {
 public:
  Guest() {
    const uint64_t bases[] = {0, kPiece, kHigh};
    for (int i = 0; i < 3; ++i) {
      pieces_[i].reset(static_cast<uint8_t*>(std::aligned_alloc(4096, kPiece)));
      std::memset(pieces_[i].get(), 0, kPiece);
      regions_[i] = {bases[i], kPiece, pieces_[i].get(), 0, -1, 0};
    }
  }
  MemoryView memory() const { return MemoryView(&view_); }
  bool holds(const void* at, uint64_t length) const {
    for (auto& piece : pieces_) {
      const auto offset = static_cast<uint64_t>(static_cast<const uint8_t*>(at) - piece.get());
      if (offset < kPiece && length <= kPiece - offset) return true;
    }
    return false;
  }

 private:
  struct Free {
    void operator()(uint8_t* piece) const { std::free(piece); }
  };
  std::unique_ptr<uint8_t, Free> pieces_[3];
  nacre_memory_region regions_[3];
  nacre_memory_view view_{sizeof view_, 3, sizeof(nacre_memory_region), 0, 1, regions_};
};

// Most addresses in memory, near its borders too, and some anywhere.
uint64_t address(fuzz::Input& input) {
  const uint8_t kind = input.number<uint8_t>();
  if (kind < 16) return input.number<uint64_t>();
  return (kind & 1 ? kHigh : 0) + input.number<uint16_t>() % (2 * kPiece + 16);
}

// Uses a chain as a device does: all of what it may read, all of what it may write.
void use(const Guest& guest, DescriptorChain& chain, uint16_t most) {
  require(chain.readable.count() + chain.writable.count() <= most, "a chain is no longer than its queue");
  for (IoVector* part : {&chain.readable, &chain.writable}) {
    uint64_t length = 0;
    for (uint32_t i = 0; i < part->count(); ++i) {
      const iovec& piece = part->data()[i];
      require(piece.iov_len && guest.holds(piece.iov_base, piece.iov_len), "a buffer lies in memory");
      length += piece.iov_len;
    }
    require(length == part->length(), "the length of a chain is that of its buffers");
  }
  uint8_t head[24];
  const uint64_t before = chain.readable.length();
  require(chain.readable.take_front(head, sizeof head) == (before >= sizeof head), "as much is taken as there is");
  chain.readable.drop_front(chain.readable.length());
  require(chain.readable.count() == 0, "nothing is left of what was dropped");
  const uint8_t zeroes[64] = {};
  require(chain.writable.put_front(zeroes, sizeof zeroes) == std::min<uint64_t>(sizeof zeroes, chain.writable.length()),
          "as much is written as fits");
  if (uint8_t* last = chain.writable.take_last_byte()) *last = 1;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  Guest guest;
  const MemoryView memory = guest.memory();
  nacre_virtqueue shown{};
  shown.num = static_cast<uint16_t>(1u << input.below(8));
  // The transport has checked the alignment (virtio 1.2 §2.7).
  const uint64_t desc = shown.desc = address(input) & ~15ull, avail = shown.avail = address(input) & ~1ull;
  shown.used = address(input) & ~3ull;
  const uint64_t features = uint64_t{input.number<uint8_t>() & 3u} << kVirtioRingIndirectDesc;
  shown.first = input.number<uint8_t>() & 128 ? input.number<uint16_t>() : 0;
  uint64_t interrupts = 0;
  shown.interrupt = [](void* opaque) noexcept { ++*static_cast<uint64_t*>(opaque); };
  shown.interrupt_opaque = &interrupts;
  Virtqueue queue;
  if (!queue.start(shown, memory, features)) return 0;

  std::vector<iovec> storage(shown.num);
  std::deque<uint16_t> taken;
  uint16_t offered = shown.first;
  for (int step = 0; step < 400 && !input.empty(); ++step) {
    switch (input.below(8)) {
      case 0:
      case 1: {
        struct {
          uint64_t addr;
          uint32_t len;
          uint16_t flags, next;
        } descriptor;
        const uint32_t index = input.below(shown.num);
        descriptor.addr = address(input);
        descriptor.len = input.number<uint8_t>() < 16 ? input.number<uint32_t>() : input.number<uint8_t>() * 16u;
        descriptor.flags = input.number<uint8_t>() & 7;
        descriptor.next = input.number<uint8_t>();
        // In the queue's table, or one of its own.
        (void)memory.write((input.number<uint8_t>() & 1 ? desc : address(input)) + 16ull * index, &descriptor, 16);
        break;
      }
      case 2: {
        const uint16_t head = input.number<uint8_t>();
        (void)memory.write(avail + 4 + 2u * (offered++ & (shown.num - 1u)), &head, 2);
        (void)memory.write(avail + 2, &offered, 2);
        break;
      }
      case 3: {
        const auto bytes = input.take(input.below(32));
        (void)memory.write(address(input), bytes.data(), bytes.size());
        break;
      }
      case 4: {
        DescriptorChain chain;
        const Virtqueue::Pop popped = queue.pop(chain, storage.data(), shown.num);
        require((popped == Virtqueue::Pop::Broken) == (queue.broken() != nullptr), "a broken queue says why");
        if (popped != Virtqueue::Pop::Chain) break;
        require(chain.head < shown.num, "a head is a descriptor");
        if (input.below(8) == 0) {
          queue.unpop();
          break;
        }
        use(guest, chain, shown.num);
        taken.push_back(chain.head);
        break;
      }
      case 5:
        if (taken.empty()) break;
        queue.push(taken.front(), input.number<uint32_t>());
        taken.pop_front();
        break;
      case 6:
        queue.publish();
        break;
      case 7:
        (void)queue.rearm();
        break;
    }
  }
  return 0;
}
