#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <nacre/fake/memory.hpp>

namespace nacre::fake {
namespace {

constexpr uint64_t kGuard = 4096;
constexpr uint8_t kCanary = 0xc5;

bool all_canary(const uint8_t* from) {
  return std::all_of(from, from + kGuard, [](uint8_t byte) { return byte == kCanary; });
}

}  // namespace

Memory::Memory() : fd_(::memfd_create("fake-ram", MFD_CLOEXEC)) {
  const uint64_t sizes[] = {kLowSize, kHighSize};
  if (::ftruncate(fd_, kLowSize + kHighSize) < 0) std::abort();
  uint64_t offset = 0;
  for (size_t i = 0; i < 2; ++i) {
    base_[i] = map(sizes[i], fd_, offset);
    regions_[i] = {i ? kHighBase : 0, sizes[i], base_[i] + kGuard, 0, fd_, offset};
    offset += sizes[i];
  }
  view_ = {sizeof view_, 2, sizeof(nacre_memory_region), 0, 1, regions_.data()};
}

Memory::~Memory() {
  for (size_t i = 0; i < 2; ++i) ::munmap(base_[i], regions_[i].len + 2 * kGuard);
  ::close(fd_);
}

uint8_t* Memory::map(uint64_t size, int fd, uint64_t offset) {
  auto* whole = static_cast<uint8_t*>(
      ::mmap(nullptr, size + 2 * kGuard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (whole == MAP_FAILED) std::abort();
  std::memset(whole, kCanary, kGuard);
  std::memset(whole + kGuard + size, kCanary, kGuard);
  if (::mmap(whole + kGuard, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, static_cast<off_t>(offset)) ==
      MAP_FAILED)
    std::abort();
  return whole;
}

const nacre_memory_view* Memory::acquire() {
  ++views_;
  return &view_;
}

void Memory::release(const nacre_memory_view*) {
  --views_;
}

uint8_t* Memory::at(uint64_t gpa, uint64_t length) const {
  for (const nacre_memory_region& region : regions_)
    if (gpa >= region.gpa && gpa - region.gpa <= region.len && length <= region.len - (gpa - region.gpa))
      return region.hva + (gpa - region.gpa);
  return nullptr;
}

void Memory::clear() {
  for (const nacre_memory_region& region : regions_) std::memset(region.hva, 0, region.len);
}

bool Memory::canaries_alive() const {
  for (size_t i = 0; i < 2; ++i)
    if (!all_canary(base_[i]) || !all_canary(base_[i] + kGuard + regions_[i].len)) return false;
  return true;
}

}  // namespace nacre::fake
