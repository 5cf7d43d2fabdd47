#include "core/vm/balloon.hpp"

#include <algorithm>
#include <cstring>

namespace nacre {
namespace {

// In StratoVirt's words.
Error not_active() {
  return Error{"No balloon device has been activated", ErrorClass::DeviceNotActive};
}

Status outcome(nacre_status code) {
  if (code == NACRE_OK) return {};
  if (code == NACRE_NOT_FOUND) return not_active();
  if (code == NACRE_UNSUPPORTED)
    return fail(
        "There are no statistics of the guest's memory: give the balloon statistics=on, and the guest a driver that "
        "knows them.");
  return fail("The balloon device refused with status {}.", code);
}

}  // namespace

Status Balloon::attach(const std::string& device, const nacre_balloon_ops& ops, void* self) {
  if (!device_.empty()) return fail("Only one balloon device is supported for each vm.");
  if (!pins_.empty())
    return fail("There can be no balloon beside device '{}', which holds the guest's memory in place: leave one out.",
                pins_.begin()->first);
  if (!ops.set_target || !ops.actual) return fail("it has no set_target() or no actual(): a defect of the plugin.");
  ops_ = {};
  std::memcpy(&ops_, &ops, std::min<size_t>(ops.size, sizeof ops_));
  device_ = device;
  self_ = self;
  return {};
}

void Balloon::detach() {
  device_.clear();
  self_ = nullptr;
}

Status Balloon::pin(const std::string& device) {
  if (!device_.empty())
    return fail(
        "Device '{}' needs the guest's memory to stay in place, and balloon device '{}' gives it back: leave "
        "one out.",
        device, device_);
  ++pins_[device];
  return {};
}

void Balloon::unpin(const std::string& device) {
  auto found = pins_.find(device);
  if (found != pins_.end() && --found->second == 0) pins_.erase(found);
}

Status Balloon::set_target(uint64_t bytes) {
  if (device_.empty()) return not_active();
  return outcome(ops_.set_target(self_, bytes));
}

Result<uint64_t> Balloon::actual() const {
  if (device_.empty()) return not_active();
  uint64_t bytes = 0;
  if (Status got = outcome(ops_.actual(self_, &bytes)); !got) return got.error();
  return bytes;
}

Result<nacre_balloon_stats> Balloon::stats() const {
  if (device_.empty()) return not_active();
  nacre_balloon_stats stats{};
  stats.size = sizeof stats;
  if (Status got = outcome(ops_.stats ? ops_.stats(self_, &stats) : NACRE_UNSUPPORTED); !got) return got.error();
  return stats;
}

}  // namespace nacre
