// A bare machine for tests: one slot of memory, vCPUs in real mode, a handler that writes down what it is asked.
#pragma once

#include <gtest/gtest.h>
#include <nacre/abi/vcpu.h>
#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/kvm/vcpu_group.hpp"
#include "core/kvm/x86_64/cpuid.hpp"
#include "core/kvm/x86_64/reset.hpp"

namespace nacre::kvm {

struct Access {
  char kind;  // 'r', 'w': memory; 'i', 'o': ports
  uint32_t vcpu;
  uint64_t address;
  uint32_t width;
  uint64_t value;
  bool operator==(const Access&) const = default;
};

class Recorder : public ExitHandler {
 public:
  uint64_t mmio_read(uint32_t vcpu, uint64_t gpa, uint32_t width) override { return note('r', vcpu, gpa, width, 0); }
  void mmio_write(uint32_t vcpu, uint64_t gpa, uint32_t width, uint64_t value) override {
    note('w', vcpu, gpa, width, value);
  }
  uint64_t pio_read(uint32_t vcpu, uint16_t port, uint32_t width) override { return note('i', vcpu, port, width, 0); }
  void pio_write(uint32_t vcpu, uint16_t port, uint32_t width, uint64_t value) override {
    note('o', vcpu, port, width, value);
  }
  void shutdown(uint32_t) override {
    std::lock_guard lock(mutex_);
    shutdowns_++;
    changed_.notify_all();
  }
  void system_event(uint32_t, uint32_t, uint64_t) override {}
  void internal_error(const Report& report) override {
    std::lock_guard lock(mutex_);
    reports_.push_back(report);
    changed_.notify_all();
  }

  // Answers reads; called under the lock.
  std::function<uint64_t(const Access&)> answer;
  bool keep_all = true;

  // Waits up to 20 s until `done`, which may look at what is recorded.
  bool wait(const std::function<bool()>& done) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), done);
  }
  void poke() {
    std::lock_guard lock(mutex_);
    changed_.notify_all();
  }

  std::vector<Access> accesses;
  std::atomic<uint64_t> total{0};
  int shutdowns_ = 0;
  std::vector<Report> reports_;

 private:
  uint64_t note(char kind, uint32_t vcpu, uint64_t address, uint32_t width, uint64_t value) {
    std::lock_guard lock(mutex_);
    Access access{kind, vcpu, address, width, value};
    if (answer) {
      uint64_t given = answer(access);
      if (kind == 'r' || kind == 'i') access.value = given;
    }
    ++total;
    if (keep_all) accesses.push_back(access);
    changed_.notify_all();
    return access.value;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
};

class Machine {
 public:
  static constexpr uint64_t kMemory = 512 << 10;  // from 0; MMIO above
  static constexpr uint64_t kCode = 0x1000;

  // Fails the test, with the reason, where there is no KVM.
  explicit Machine(bool irqchip) {
    auto opened = Kvm::open();
    if (!opened) {
      ADD_FAILURE() << opened.error().message;
      return;
    }
    kvm = std::move(*opened);
    auto made = Vm::create(*kvm);
    if (!made) {
      ADD_FAILURE() << made.error().message;
      return;
    }
    vm.emplace(std::move(*made));
    memory =
        static_cast<uint8_t*>(::mmap(nullptr, kMemory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    check(vm->set_tss_address(0xfef0d000));
    check(vm->set_identity_map_address(0xfef0c000));
    if (irqchip) check(vm->create_irqchip());
    if (irqchip) check(vm->create_pit());
    check(vm->set_memory_slot(0, 0, kMemory, memory));
    group = std::make_unique<VcpuGroup>(
        recorder,
        [this](uint64_t gpa, void* to, uint64_t length) {
          if (gpa >= kMemory || length > kMemory - gpa) return false;
          std::memcpy(to, memory + gpa, length);
          return true;
        },
        [this] { recorder.poke(); });
  }
  ~Machine() {
    group.reset();
    if (memory) ::munmap(memory, kMemory);
  }

  bool ok() const { return group != nullptr; }

  // Puts code at kCode.
  void load(std::string_view code, uint64_t at = kCode) { std::memcpy(memory + at, code.data(), code.size()); }

  // Adds a vCPU that begins at `rip` in real mode, with AX = index.
  Vcpu* add(uint64_t rip = kCode) {
    auto vcpu = Vcpu::create(*kvm, *vm, group->end());
    if (!vcpu) {
      ADD_FAILURE() << vcpu.error().message;
      return nullptr;
    }
    Vcpu* raw = vcpu->get();
    auto supported = supported_cpuid(*kvm);
    if (!supported) {
      ADD_FAILURE() << supported.error().message;
      return nullptr;
    }
    check(set_cpuid(*raw, guest_cpuid(*supported, raw->index(), {.cores = 2}, true)));
    check(boot_vcpu(*raw));
    if (raw->index() > 0) check(raw->set_runnable(true));
    auto sregs = raw->sregs();
    if (!sregs) {
      ADD_FAILURE() << sregs.error().message;
      return nullptr;
    }
    sregs->cs.base = 0;
    sregs->cs.selector = 0;
    check(raw->set_sregs(*sregs));
    kvm_regs regs{};
    regs.rip = rip;
    regs.rax = raw->index();
    regs.rsp = 0x8000 + 0x1000 * raw->index();
    regs.rflags = 2;
    check(raw->set_regs(regs));
    check(group->add(std::move(*vcpu)));
    return raw;
  }

  static void check(const Status& status) {
    if (!status) ADD_FAILURE() << status.error().message;
  }

  std::optional<Kvm> kvm;
  std::optional<Vm> vm;
  uint8_t* memory = nullptr;
  Recorder recorder;
  std::unique_ptr<VcpuGroup> group;
};

}  // namespace nacre::kvm
