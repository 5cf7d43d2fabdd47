#include "core/kvm/kvm.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace nacre::kvm {

Error ioctl_error(const char* what) {
  return fail("{} failed: {}.", what, strerror(errno));
}

Result<Kvm> Kvm::open(const std::string& path) {
  Kvm kvm;
  kvm.fd_ = Fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!kvm.fd_) {
    switch (errno) {
      case ENOENT:
      case ENODEV:
      case ENXIO:
        return fail(
            "there is no KVM here: '{}' is missing. Load the module kvm_intel or kvm_amd; inside a virtual machine, "
            "its host must allow nested virtualisation.",
            path);
      case EACCES:
      case EPERM:
        return fail("no permission to use '{}': join the group that owns it (usually kvm), or run as root.", path);
      default:
        return fail("cannot open '{}': {}.", path, strerror(errno));
    }
  }
  int version = ::ioctl(kvm.fd_.get(), KVM_GET_API_VERSION, 0);
  if (version < 0) return fail("'{}' is not the KVM device: {}.", path, strerror(errno));
  if (version != KVM_API_VERSION)
    return fail("'{}' has version {} of the KVM interface, {} is needed: use a newer kernel.", path, version,
                KVM_API_VERSION);
  int size = ::ioctl(kvm.fd_.get(), KVM_GET_VCPU_MMAP_SIZE, 0);
  if (size < static_cast<int>(sizeof(kvm_run))) return ioctl_error("KVM_GET_VCPU_MMAP_SIZE");
  kvm.run_size_ = static_cast<size_t>(size);
  if (!kvm.check_extension(KVM_CAP_IMMEDIATE_EXIT))
    return fail("the KVM of this kernel cannot end a run at once (KVM_CAP_IMMEDIATE_EXIT): use Linux 4.13 or newer.");
  return kvm;
}

int Kvm::check_extension(int capability) const {
  return std::max(0, ::ioctl(fd_.get(), KVM_CHECK_EXTENSION, static_cast<unsigned long>(capability)));
}

uint32_t Kvm::max_vcpus() const {
  int count = check_extension(KVM_CAP_MAX_VCPUS);
  if (count == 0) count = check_extension(KVM_CAP_NR_VCPUS);
  return count == 0 ? 4 : static_cast<uint32_t>(count);
}

}  // namespace nacre::kvm
