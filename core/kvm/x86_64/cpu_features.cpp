#include "core/kvm/x86_64/cpu_features.hpp"

#include <algorithm>

#include "core/base/suggest.hpp"

namespace nacre::kvm {
namespace {

// One register of a leaf: the names of its bits from 0 up, '.' for one that has none or is not the user's to choose
// (it shows a state, or the topology decides); Linux's name first and QEMU's behind a '|' where it differs by more than
// '-' and '_'. Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E; Linux Documentation/virt/kvm/x86/cpuid.rst.
struct Word {
  uint32_t function;
  uint32_t index;
  uint32_t kvm_cpuid_entry2::*reg;
  std::string_view names;
};

constexpr Word kWords[] = {
    {1, 0, &kvm_cpuid_entry2::edx,
     "fpu vme de pse tsc msr pae mce cx8 apic . sep mtrr pge mca cmov pat pse36 pn clflush . dts|ds acpi mmx fxsr sse "
     "sse2 ss . tm ia64 pbe"},
    {1, 0, &kvm_cpuid_entry2::ecx,
     "pni|sse3 pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm . pcid dca "
     "sse4_1|sse4.1 sse4_2|sse4.2 x2apic movbe popcnt tsc_deadline_timer|tsc_deadline aes xsave . avx f16c rdrand "
     "hypervisor"},
    {6, 0, &kvm_cpuid_entry2::eax, ". . arat"},
    {7, 0, &kvm_cpuid_entry2::ebx,
     "fsgsbase tsc_adjust sgx bmi1 hle avx2 . smep bmi2 erms invpcid rtm cqm . mpx rdt_a avx512f avx512dq rdseed adx "
     "smap avx512ifma . clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl"},
    {7, 0, &kvm_cpuid_entry2::ecx,
     ". avx512vbmi umip pku . waitpkg avx512_vbmi2|avx512vbmi2 shstk gfni vaes vpclmulqdq avx512_vnni|avx512vnni "
     "avx512_bitalg|avx512bitalg tme avx512_vpopcntdq . la57 . . . . . rdpid . bus_lock_detect cldemote . movdiri "
     "movdir64b enqcmd sgx_lc|sgxlc pks"},
    {7, 0, &kvm_cpuid_entry2::edx,
     ". . avx512_4vnniw avx512_4fmaps fsrm uintr . . avx512_vp2intersect . md_clear . . . serialize . tsxldtrk . "
     "pconfig arch_lbr ibt . amx_bf16 avx512_fp16 amx_tile amx_int8 spec_ctrl stibp flush_l1d arch_capabilities "
     "core_capability ssbd"},
    {7, 1, &kvm_cpuid_entry2::eax,
     ". . . . avx_vnni avx512_bf16 . cmpccxadd . . fzrm fsrs fsrc . . . . . . . . amx_fp16 . avx_ifma . . lam"},
    {0xd, 1, &kvm_cpuid_entry2::eax, "xsaveopt xsavec xgetbv1 xsaves xfd"},
    {0x40000001, 0, &kvm_cpuid_entry2::eax,
     "kvmclock kvm_nopiodelay kvm_mmu kvmclock kvm_asyncpf . kvm_pv_eoi kvm_pv_unhalt . kvm_pv_tlb_flush . kvm_pv_ipi "
     "kvm_poll_control kvm_pv_sched_yield kvm_asyncpf_int kvm_msi_ext_dest_id"},
    {0x80000001, 0, &kvm_cpuid_entry2::edx,
     ". . . . . . . . . . . syscall . . . . . . . mp nx . mmxext . . fxsr_opt pdpe1gb rdtscp . lm|i64 3dnowext 3dnow"},
    {0x80000001, 0, &kvm_cpuid_entry2::ecx,
     "lahf_lm . svm extapic cr8_legacy|cr8legacy abm|lzcnt sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt . "
     "lwp fma4 tce . nodeid_msr . tbm topoext perfctr_core perfctr_nb . bpext ptsc perfctr_llc mwaitx"},
    {0x80000007, 0, &kvm_cpuid_entry2::edx, ". . . . . . . . nonstop_tsc|invtsc"},
    {0x80000008, 0, &kvm_cpuid_entry2::ebx,
     "clzero irperf xsaveerptr . rdpru . . . . wbnoinvd . . ibpb . ibrs amd_stibp . amd_stibp_always_on . . . . . "
     "amd_ppin amd_ssbd virt_ssbd amd_no_ssb . amd_psfd"},
    {0x8000000a, 0, &kvm_cpuid_entry2::edx,
     "npt lbrv svm_lock nrip_save tsc_scale vmcb_clean flushbyasid decodeassists . . pausefilter . pfthreshold avic . "
     "v_vmsave_vmload vgif"},
};

// Calls `found(word, bit, name)` for every name, until that returns true.
template <typename Found>
bool find_name(Found found) {
  for (const Word& word : kWords) {
    uint32_t bit = 0;
    for (std::string_view rest = word.names; !rest.empty(); ++bit) {
      const size_t end = std::min(rest.find(' '), rest.size());
      for (std::string_view names = rest.substr(0, end); !names.empty() && names != ".";) {
        const size_t bar = std::min(names.find('|'), names.size());
        if (found(word, bit, names.substr(0, bar))) return true;
        names.remove_prefix(std::min(bar + 1, names.size()));
      }
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  return false;
}

bool same(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return (x == '-' ? '_' : x) == (y == '-' ? '_' : y); });
}

}  // namespace

std::vector<std::string> cpu_feature_names() {
  std::vector<std::string> names;
  find_name([&](const Word&, uint32_t, std::string_view name) {
    names.emplace_back(name);
    return false;
  });
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

Status check_cpu_feature(std::string_view name) {
  if (find_name([&](const Word&, uint32_t, std::string_view own) { return same(own, name); })) return {};
  return fail("there is no processor feature '{}'; '-cpu help' lists them.{}", name,
              did_you_mean(name, cpu_feature_names()));
}

Status change_features(std::vector<kvm_cpuid_entry2>& cpuid, const FeatureChanges& changes) {
  for (const FeatureChanges::value_type& change : changes) {
    const std::string& wanted = change.first;
    const bool on = change.second;
    bool there = false;  // some, such as kvmclock, have two bits, of which a host may give one
    find_name([&](const Word& word, uint32_t bit, std::string_view name) {
      if (!same(name, wanted)) return false;
      for (kvm_cpuid_entry2& entry : cpuid) {
        if (entry.function != word.function || entry.index != word.index) continue;
        there |= (entry.*word.reg >> bit & 1) != 0;
        if (!on) entry.*word.reg &= ~(1u << bit);
      }
      return false;
    });
    if (on && !there) return fail("-cpu: this host's KVM cannot give a guest '{}'; leave it out.", wanted);
  }
  return {};
}

}  // namespace nacre::kvm
