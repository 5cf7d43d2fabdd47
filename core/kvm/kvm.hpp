// /dev/kvm: what the host's KVM can do, and where virtual machines come from.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/fd.hpp"
#include "core/base/result.hpp"

namespace nacre::kvm {

// The open device. Any thread; it holds nothing that changes.
class Kvm {
 public:
  // Opens the device. Says in the error what is missing: the device, the permission, or the right version.
  static Result<Kvm> open(const std::string& path = "/dev/kvm");

  int fd() const { return fd_.get(); }
  // The value of KVM_CHECK_EXTENSION: 0 when the host has not got it.
  int check_extension(int capability) const;
  uint32_t max_vcpus() const;
  // Bytes of the kvm_run mapping of a vCPU.
  size_t run_size() const { return run_size_; }

 private:
  Fd fd_;
  size_t run_size_ = 0;
};

// Why an ioctl failed, as the tail of a sentence: "<what> failed: <reason>".
Error ioctl_error(const char* what);

}  // namespace nacre::kvm
