#include "core/bus/pci/interrupts.hpp"

namespace nacre::pci {
namespace {

constexpr uint32_t kFirstRoute = 24;    // after the IOAPIC's pins
constexpr uint32_t kMostRoutes = 4096;  // KVM_MAX_IRQ_ROUTES

}  // namespace

void SharedLines::raise(uint32_t line) {
  MutexLock lock(mutex_);
  if (counts_[line]++ == 0) set(line, true);
}

void SharedLines::lower(uint32_t line) {
  MutexLock lock(mutex_);
  if (--counts_[line] == 0) set(line, false);
}

void SharedLines::set(uint32_t line, bool level) {
  if (vm_) (void)vm_->set_irq_line(gsi(line), level);
}

KvmMessages::KvmMessages(kvm::Vm& vm) : vm_(vm) {}

int KvmMessages::allocate() {
  MutexLock lock(mutex_);
  for (size_t i = 0; i < routes_.size(); ++i)
    if (!routes_[i].taken) {
      routes_[i] = {.taken = true};
      return static_cast<int>(kFirstRoute + i);
    }
  if (kFirstRoute + routes_.size() >= kMostRoutes) return -1;
  routes_.push_back({.taken = true});
  return static_cast<int>(kFirstRoute + routes_.size() - 1);
}

void KvmMessages::free(int route) {
  MutexLock lock(mutex_);
  // The kernel's table keeps the entry until the next change of it: nothing is attached, so nothing uses it.
  routes_[static_cast<uint32_t>(route) - kFirstRoute] = {};
}

void KvmMessages::route(int route, uint64_t address, uint32_t data) {
  MutexLock lock(mutex_);
  Route& changed = routes_[static_cast<uint32_t>(route) - kFirstRoute];
  if (changed.set && changed.address == address && changed.data == data) return;
  changed = {true, true, address, data};
  changed_ = true;
}

// The kernel waits for every processor that reads the table.
Status KvmMessages::commit() {
  MutexLock lock(mutex_);
  if (!changed_) return {};
  std::vector<kvm_irq_routing_entry> entries = kvm::line_routes();
  for (size_t i = 0; i < routes_.size(); ++i) {
    if (!routes_[i].set) continue;
    kvm_irq_routing_entry entry{};
    entry.gsi = static_cast<uint32_t>(kFirstRoute + i);
    entry.type = KVM_IRQ_ROUTING_MSI;
    entry.u.msi.address_lo = static_cast<uint32_t>(routes_[i].address);
    entry.u.msi.address_hi = static_cast<uint32_t>(routes_[i].address >> 32);
    entry.u.msi.data = routes_[i].data;
    entries.push_back(entry);
  }
  Status done = vm_.set_gsi_routing(entries);
  changed_ = !done;
  return done;
}

}  // namespace nacre::pci
