// Guest memory as a plugin sees it: translation without a call, over the regions that the host publishes.
#pragma once

#include <nacre/abi/memory.h>

#include <cstring>
#include <optional>
#include <span>

namespace nacre::sdk {

// A view of guest memory, valid as long as the nacre_memory_view it was made from. Any thread.
class MemoryView {
 public:
  MemoryView() = default;
  explicit MemoryView(const nacre_memory_view* view) : view_(view) {}

  // Returns the host address of guest-physical [gpa, gpa + length), or NULL when it is not wholly mapped at one
  // stretch: inside one region, or in several that go on in both (length 0 is inside none).
  uint8_t* translate(uint64_t gpa, uint64_t length) const {
    if (length == 0 || !view_) return nullptr;
    for (uint32_t i = 0; i < view_->n_regions; ++i) {
      const nacre_memory_region& region = at(i);
      uint64_t offset = gpa - region.gpa;
      if (gpa < region.gpa || offset >= region.len) continue;
      return region.hva && (length <= region.len - offset || goes_on(i, offset, length)) ? region.hva + offset
                                                                                         : nullptr;
    }
    return nullptr;
  }

  // The bytes there, or an empty span when translate() finds none.
  std::span<uint8_t> bytes(uint64_t gpa, uint64_t length) const {
    uint8_t* hva = translate(gpa, length);
    return hva ? std::span<uint8_t>(hva, length) : std::span<uint8_t>();
  }

  // Copies; false, with nothing copied, when translate() finds none.
  bool write(uint64_t gpa, const void* from, uint64_t length) const {
    uint8_t* to = translate(gpa, length);
    if (to) std::memcpy(to, from, length);
    return to != nullptr;
  }
  bool read(uint64_t gpa, void* to, uint64_t length) const {
    const uint8_t* from = translate(gpa, length);
    if (from) std::memcpy(to, from, length);
    return from != nullptr;
  }

  uint32_t size() const { return view_ ? view_->n_regions : 0; }
  const nacre_memory_region& operator[](uint32_t i) const { return at(i); }

 private:
  // Whether [offset, offset + length) of region i, which is longer than that, lies in the regions that follow.
  bool goes_on(uint32_t i, uint64_t offset, uint64_t length) const {
    const uint8_t* hva = at(i).hva;
    uint64_t reach = at(i).len;  // bytes mapped at one stretch from the region's begin
    for (uint64_t gpa = at(i).gpa; length > reach - offset; reach += at(i).len)
      if (++i == view_->n_regions || at(i).gpa - gpa != reach || !at(i).hva || at(i).hva != hva + reach) return false;
    return true;
  }
  const nacre_memory_region& at(uint32_t i) const {
    const auto* first = reinterpret_cast<const uint8_t*>(view_->regions);
    return *reinterpret_cast<const nacre_memory_region*>(first + static_cast<size_t>(i) * view_->region_size);
  }
  const nacre_memory_view* view_ = nullptr;
};

}  // namespace nacre::sdk
