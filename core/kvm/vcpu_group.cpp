#include "core/kvm/vcpu_group.hpp"

#include <algorithm>

namespace nacre::kvm {

VcpuGroup::VcpuGroup(ExitHandler& handler, GuestReader reader, std::function<void()> parked)
    : handler_(handler), reader_(std::move(reader)), parked_(std::move(parked)) {
  if (!parked_) parked_ = [] {};
}

VcpuGroup::~VcpuGroup() {
  stop_and_join();
}

Status VcpuGroup::add(std::unique_ptr<Vcpu> vcpu) {
  auto thread = VcpuThread::start(*vcpu, handler_, reader_, parked_);
  if (!thread) return thread.error();
  vcpus_.push_back(std::move(vcpu));
  threads_.push_back(std::move(*thread));
  return {};
}

void VcpuGroup::request_pause() {
  for (auto& thread : threads_) thread->request_pause();
}

bool VcpuGroup::all_paused() const {
  return std::all_of(threads_.begin(), threads_.end(), [](const auto& thread) { return thread->is_parked(); });
}

void VcpuGroup::resume() {
  for (auto& thread : threads_) thread->resume();
}

void VcpuGroup::stop_and_join(const Waiter& waiter) {
  for (auto& thread : threads_) thread->request_stop();
  if (waiter)
    waiter([this] {
      return std::all_of(threads_.begin(), threads_.end(), [](const auto& thread) { return thread->has_ended(); });
    });
  for (auto& thread : threads_) thread->join();
}

}  // namespace nacre::kvm
