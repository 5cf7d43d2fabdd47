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
  const uint32_t index = vcpu->index();
  if (index >= end()) {
    vcpus_.resize(index + 1);
    threads_.resize(index + 1);
  }
  vcpus_[index] = std::move(vcpu);
  return put_back(index);
}

Status VcpuGroup::put_back(uint32_t index) {
  auto thread = VcpuThread::start(*vcpus_[index], handler_, reader_, parked_);
  if (!thread) return thread.error();
  threads_[index] = std::move(*thread);
  return {};
}

void VcpuGroup::take_out(uint32_t index, const Waiter& waiter) {
  if (!is_in(index)) return;
  // Out of the list first: whoever looks at it while this waits, no longer waits for that one.
  std::unique_ptr<VcpuThread> leaving = std::move(threads_[index]);
  leaving->request_stop();
  if (waiter) waiter([&] { return leaving->has_ended(); });
  leaving->join();
}

void VcpuGroup::request_pause() {
  for (auto& thread : threads_)
    if (thread) thread->request_pause();
}

bool VcpuGroup::all_paused() const {
  return std::all_of(threads_.begin(), threads_.end(),
                     [](const auto& thread) { return !thread || thread->is_parked(); });
}

void VcpuGroup::resume() {
  for (auto& thread : threads_)
    if (thread) thread->resume();
}

void VcpuGroup::stop_and_join(const Waiter& waiter) {
  for (auto& thread : threads_)
    if (thread) thread->request_stop();
  if (waiter)
    waiter([this] {
      return std::all_of(threads_.begin(), threads_.end(),
                         [](const auto& thread) { return !thread || thread->has_ended(); });
    });
  for (auto& thread : threads_)
    if (thread) thread->join();
}

}  // namespace nacre::kvm
