#include "core/kvm/x86_64/cpuid.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

namespace nacre::kvm {
namespace {

using Entries = std::vector<kvm_cpuid_entry2>;

kvm_cpuid_entry2 leaf(uint32_t function, uint32_t index, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx) {
  kvm_cpuid_entry2 entry{};
  entry.function = function;
  entry.index = index;
  entry.eax = eax;
  entry.ebx = ebx;
  entry.ecx = ecx;
  entry.edx = edx;
  return entry;
}

const kvm_cpuid_entry2& find(const Entries& entries, uint32_t function, uint32_t index = 0) {
  static const kvm_cpuid_entry2 none{};
  for (const auto& entry : entries)
    if (entry.function == function && entry.index == index) return entry;
  ADD_FAILURE() << "no leaf " << function << "." << index;
  return none;
}

Entries intel() {
  return {leaf(0, 0, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69),
          leaf(1, 0, 0x000806f8, 0x12345678, 0, 0),
          leaf(4, 0, 0xffffc121, 1, 2, 3),  // level 1, data
          leaf(4, 3, 0xffffc163, 1, 2, 3),  // level 3
          leaf(4, 4, 0, 0, 0, 0),
          leaf(6, 0, 4, 0, 9, 0),
          leaf(0xb, 0, 0, 0, 0, 99),
          leaf(0xb, 1, 0, 0, 0, 99)};
}

Entries amd() {
  return {leaf(0, 0, 0x10, 0x68747541, 0x444d4163, 0x69746e65),
          leaf(1, 0, 0x00800f12, 0, 0, 0),
          leaf(0x80000000, 0, 0x8000001f, 0, 0, 0),
          leaf(0x80000001, 0, 0, 0, 1u << 22, 0),
          leaf(0x80000008, 0, 0x3030, 0, 0xffff, 0),
          leaf(0x8000001d, 3, 0xffffc163, 1, 2, 3),
          leaf(0x8000001e, 0, 9, 9, 9, 9)};
}

TEST(Cpuid, FeatureLeafOfAVcpu) {
  const auto entries = guest_cpuid(intel(), 5, {.sockets = 2, .cores = 2, .threads = 2}, true);
  const auto& one = find(entries, 1);
  EXPECT_EQ(one.ebx, 0x05045678u);
  EXPECT_TRUE(one.ecx & 1u << 31);
  EXPECT_TRUE(one.ecx & 1u << 24);
  EXPECT_TRUE(one.edx & 1u << 28);
  EXPECT_EQ(find(entries, 6).ecx, 1u);
  EXPECT_FALSE(find(guest_cpuid(intel(), 0, {}, false), 1).ecx & 1u << 24);
}

TEST(Cpuid, LevelsOfTopology) {
  // Vcpu 13 of 2 sockets x 2 dies x 2 cores x 2 threads.
  const auto entries = guest_cpuid(intel(), 13, {2, 2, 2, 2}, true);
  EXPECT_EQ(find(entries, 0xb, 0).eax, 1u);
  EXPECT_EQ(find(entries, 0xb, 0).ebx, 2u);
  EXPECT_EQ(find(entries, 0xb, 0).ecx, 0x100u);
  EXPECT_EQ(find(entries, 0xb, 1).eax, 3u);
  EXPECT_EQ(find(entries, 0xb, 1).ebx, 8u);
  EXPECT_EQ(find(entries, 0xb, 1).ecx, 0x201u);
  EXPECT_EQ(find(entries, 0xb, 2).ecx, 2u);
  EXPECT_EQ(find(entries, 0x1f, 1).eax, 2u);
  EXPECT_EQ(find(entries, 0x1f, 1).ebx, 4u);
  EXPECT_EQ(find(entries, 0x1f, 2).eax, 3u);
  EXPECT_EQ(find(entries, 0x1f, 2).ebx, 8u);
  EXPECT_EQ(find(entries, 0x1f, 2).ecx, 0x502u);
  EXPECT_EQ(find(entries, 0x1f, 3).ecx, 3u);
  for (uint32_t level = 0; level < 3; ++level) EXPECT_EQ(find(entries, 0xb, level).edx, 13u);
  EXPECT_EQ(std::count_if(entries.begin(), entries.end(), [](const auto& e) { return e.function == 0xb; }), 3);
}

TEST(Cpuid, CachesAreSharedByTheirCoreOrDie) {
  const auto entries = guest_cpuid(intel(), 0, {.sockets = 1, .cores = 4, .threads = 2}, true);
  EXPECT_EQ(find(entries, 4, 0).eax >> 14 & 0xfff, 1u);
  EXPECT_EQ(find(entries, 4, 3).eax >> 14 & 0xfff, 7u);
  EXPECT_EQ(find(entries, 4, 0).eax >> 26, 3u);
  EXPECT_EQ(find(entries, 4, 4).eax, 0u);
}

TEST(Cpuid, OneVcpuHasNoNeighbours) {
  const auto entries = guest_cpuid(intel(), 0, {}, true);
  EXPECT_FALSE(find(entries, 1).edx & 1u << 28);
  EXPECT_EQ(find(entries, 0xb, 0).eax, 0u);
  EXPECT_EQ(find(entries, 0xb, 1).eax, 0u);
  EXPECT_EQ(find(entries, 0xb, 1).ebx, 1u);
}

TEST(Cpuid, ThreeCoresTakeTwoBits) {
  const auto entries = guest_cpuid(intel(), 2, {.sockets = 1, .cores = 3}, true);
  EXPECT_EQ(find(entries, 0xb, 1).eax, 2u);
  EXPECT_EQ(find(entries, 0xb, 1).ebx, 3u);
}

TEST(Cpuid, AmdLeaves) {
  const auto entries = guest_cpuid(amd(), 6, {.sockets = 2, .cores = 2, .threads = 2}, true);
  EXPECT_EQ(find(entries, 0x80000008).ecx, 0x2f03u);
  EXPECT_EQ(find(entries, 0x8000001e).eax, 6u);
  EXPECT_EQ(find(entries, 0x8000001e).ebx, 0x101u);
  EXPECT_EQ(find(entries, 0x8000001e).ecx, 1u);
  EXPECT_TRUE(find(entries, 0x80000001).ecx & 2);
  EXPECT_EQ(find(entries, 0x8000001d, 3).eax >> 14 & 0xfff, 3u);
}

TEST(Cpuid, OfThisHost) {
  auto kvm = Kvm::open();
  ASSERT_TRUE(kvm) << kvm.error().message;
  auto entries = supported_cpuid(*kvm);
  ASSERT_TRUE(entries) << entries.error().message;
  std::string brand;
  for (uint32_t function = 0x80000002; function <= 0x80000004; ++function) {
    const auto& entry = find(*entries, function);
    char text[16];
    std::memcpy(text, &entry.eax, 16);
    brand.append(text, 16);
  }
  EXPECT_NE(brand[0], '\0');
  std::set<std::pair<uint32_t, uint32_t>> seen;
  for (const auto& entry : guest_cpuid(*entries, 1, {.cores = 2}, true))
    EXPECT_TRUE(seen.insert({entry.function, entry.index}).second) << entry.function << "." << entry.index;
}

}  // namespace
}  // namespace nacre::kvm
