// What the unit tests of PCI trees stand on: an empty machine of KVM's with 1 MiB of memory.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "core/kvm/kvm.hpp"
#include "core/vm/pci_tree.hpp"

namespace nacre {

class PciTreeFixture : public testing::Test {
 protected:
  // First of all a test does; check HasFatalFailure() after it.
  void open() {
    auto kvm = kvm::Kvm::open();
    ASSERT_TRUE(kvm) << kvm.error().message;
    auto vm = kvm::Vm::create(*kvm);
    ASSERT_TRUE(vm) << vm.error().message;
    vm_ = std::make_unique<kvm::Vm>(std::move(*vm));
    loop_ = std::move(*EventLoop::create());
    ram_ = std::move(*GuestMemory::create(1 << 20, {}));
    ASSERT_TRUE(ram_->place(0, 1 << 20));
    ports_ = std::make_unique<AddressSpace>(AddressSpace::Options{.space = NACRE_SPACE_PIO});
    wanted_.size = sizeof wanted_;
    wanted_.first_gsi = 16;
    wanted_.memory32_base = 0xc0000000;
    wanted_.memory32_length = 0x30000000;
  }
  Result<std::unique_ptr<PciTree>> make_tree() {
    return PciTree::create(wanted_, *vm_, memory_, *ports_, *loop_, *ram_);
  }

  std::unique_ptr<kvm::Vm> vm_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<GuestMemory> ram_;
  AddressSpace memory_{{}};
  std::unique_ptr<AddressSpace> ports_;
  nacre_pci_host wanted_{};
  std::unique_ptr<PciTree> tree_;
};

}  // namespace nacre
