// The features of an x86 processor by name, and what a user wants changed of those that a guest sees.
#pragma once

#include <linux/kvm.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/result.hpp"

namespace nacre::kvm {

// Names with on or off, each once.
using FeatureChanges = std::vector<std::pair<std::string, bool>>;

// All names, as Linux (/proc/cpuinfo) and as QEMU write them, sorted. '-' is as good as '_'.
std::vector<std::string> cpu_feature_names();

// Whether there is such a name; else an error that says the nearest.
Status check_cpu_feature(std::string_view name);

// Takes the features that are off out of a vCPU's CPUID. Fails for one that is on and not there: neither `-cpu host`
// nor this could give it, as the host's KVM does not. The names are right.
Status change_features(std::vector<kvm_cpuid_entry2>& cpuid, const FeatureChanges& changes);

}  // namespace nacre::kvm
