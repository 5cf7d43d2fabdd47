#include "core/kvm/x86_64/cpu_features.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nacre::kvm {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

kvm_cpuid_entry2 leaf(uint32_t function, uint32_t index = 0) {
  kvm_cpuid_entry2 entry{};
  entry.function = function;
  entry.index = index;
  entry.eax = entry.ebx = entry.ecx = entry.edx = 0xffffffff;
  return entry;
}

TEST(CpuFeatures, NamesOfLinuxAndOfQemu) {
  const std::vector<std::string> names = cpu_feature_names();
  for (const char* name : {"fpu", "pni", "sse3", "sse4_1", "sse4.1", "avx2", "avx512vl", "lm", "invtsc", "kvmclock"})
    EXPECT_THAT(names, Contains(name));
  EXPECT_THAT(names, Not(Contains(".")));
  EXPECT_TRUE(check_cpu_feature("tsc-deadline"));
  const Status wrong = check_cpu_feature("avx3");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, HasSubstr("no processor feature 'avx3'"));
  EXPECT_THAT(wrong.error().message, HasSubstr("Did you mean 'avx"));
}

// The last bit of each word: one name too few or too many before it would show.
TEST(CpuFeatures, EveryWordHasItsBitsInPlace) {
  struct Case {
    const char* name;
    uint32_t function, index;
    uint32_t kvm_cpuid_entry2::*reg;
    uint32_t bit;
  };
  using Entry = kvm_cpuid_entry2;
  for (const Case& c : {Case{"pbe", 1, 0, &Entry::edx, 31},
                        Case{"sse2", 1, 0, &Entry::edx, 26},
                        Case{"hypervisor", 1, 0, &Entry::ecx, 31},
                        Case{"aes", 1, 0, &Entry::ecx, 25},
                        Case{"x2apic", 1, 0, &Entry::ecx, 21},
                        Case{"arat", 6, 0, &Entry::eax, 2},
                        Case{"avx512vl", 7, 0, &Entry::ebx, 31},
                        Case{"smap", 7, 0, &Entry::ebx, 20},
                        Case{"pks", 7, 0, &Entry::ecx, 31},
                        Case{"la57", 7, 0, &Entry::ecx, 16},
                        Case{"ssbd", 7, 0, &Entry::edx, 31},
                        Case{"md-clear", 7, 0, &Entry::edx, 10},
                        Case{"lam", 7, 1, &Entry::eax, 26},
                        Case{"xfd", 0xd, 1, &Entry::eax, 4},
                        Case{"kvm-msi-ext-dest-id", 0x40000001, 0, &Entry::eax, 15},
                        Case{"3dnow", 0x80000001, 0, &Entry::edx, 31},
                        Case{"nx", 0x80000001, 0, &Entry::edx, 20},
                        Case{"mwaitx", 0x80000001, 0, &Entry::ecx, 29},
                        Case{"svm", 0x80000001, 0, &Entry::ecx, 2},
                        Case{"topoext", 0x80000001, 0, &Entry::ecx, 22},
                        Case{"invtsc", 0x80000007, 0, &Entry::edx, 8},
                        Case{"amd-psfd", 0x80000008, 0, &Entry::ebx, 28},
                        Case{"ibpb", 0x80000008, 0, &Entry::ebx, 12},
                        Case{"vgif", 0x8000000a, 0, &Entry::edx, 16}}) {
    std::vector<kvm_cpuid_entry2> cpuid = {leaf(c.function, c.index)};
    ASSERT_TRUE(change_features(cpuid, {{c.name, false}})) << c.name;
    EXPECT_EQ(cpuid[0].*c.reg, ~(1u << c.bit)) << c.name;
    for (auto reg : {&Entry::eax, &Entry::ebx, &Entry::ecx, &Entry::edx}) {
      if (reg != c.reg) {
        EXPECT_EQ(cpuid[0].*reg, 0xffffffffu) << c.name;
      }
    }
  }
}

TEST(CpuFeatures, WhatIsMissingIsTold) {
  std::vector<kvm_cpuid_entry2> cpuid = {leaf(1), leaf(7)};
  EXPECT_TRUE(change_features(cpuid, {{"sse4.1", false}, {"avx2", true}}));
  EXPECT_EQ(cpuid[0].ecx, ~(1u << 19));
  cpuid[1].ebx = 0;
  const Status refused = change_features(cpuid, {{"avx2", true}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "-cpu: this host's KVM cannot give a guest 'avx2'; leave it out.");
  EXPECT_TRUE(change_features(cpuid, {{"svm", false}}));
}

}  // namespace
}  // namespace nacre::kvm
