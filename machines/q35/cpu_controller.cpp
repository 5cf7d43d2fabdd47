#include "machines/q35/cpu_controller.hpp"

#include <nacre/boundary.hpp>
#include <nacre/log.hpp>
#include <utility>

namespace nacre::q35 {
namespace {

using sdk::ErrorSlot;
using sdk::fail;
using sdk::host;
using sdk::Status;

enum : uint64_t { kEventRegister = 0, kSelection = 4, kStatus = 5, kResult = 6, kLength = 7 };
enum : uint8_t { kPresent = 1, kInsert = 2, kRemove = 4, kEject = 8 };
constexpr uint32_t kCpuEvent = 16;
constexpr uint8_t kDone = 0, kUnderWay = 0x84;  // _OST codes (ACPI 6.4 §6.3.5)

}  // namespace

CpuController::CpuController(nacre_instance* machine, uint32_t vcpus, uint32_t max_vcpus)
    : machine_(machine), vcpus_(vcpus), cpus_(max_vcpus) {
  for (uint32_t index = 0; index < vcpus; ++index) cpus_[index].status = kPresent;
}

CpuController::~CpuController() {
  if (region_) host.mmio->release(std::exchange(region_, nullptr));
  if (irq_) host.irq->disconnect(std::exchange(irq_, nullptr));
}

Status CpuController::claim(nacre_error* slot) {
  static constexpr nacre_mmio_ops kOps{sizeof(nacre_mmio_ops), 0, on_read, on_write};
  Status claimed = ErrorSlot::wrap(slot, "the registers for vCPUs are not free", [&](nacre_error* error) {
    return host.mmio->claim(machine_, NACRE_SPACE_MMIO, kEvents, kLength, 0, &kOps, this, &region_, error);
  });
  if (!claimed) return claimed;
  return ErrorSlot::wrap(slot, "the interrupt line for vCPUs is not free",
                         [&](nacre_error* error) { return host.irq->connect(machine_, kLine, &irq_, error); });
}

Status CpuController::place(const nacre_device_desc& device, nacre_placement& placement) {
  sdk::MutexLock lock(mutex_);
  const uint64_t wanted = static_cast<uint64_t>(device.cpu_id), end = cpus_.size();
  const std::string number = std::to_string(wanted), last = std::to_string(end - 1);
  // The words are StratoVirt's to the letter, since tests compare them; what to do goes to the log.
  auto refuse = [this](const std::string& words, const std::string& advice) {
    sdk::log(machine_, NACRE_LOG_WARN, words, " ", advice);
    return fail(words);
  };
  const std::string free = "Those from " + std::to_string(vcpus_) + " to " + last + " can be added.";
  if (device.cpu_id < 0) return refuse("Argument cpu-id is required.", "It is the number of the new vCPU.");
  if (vcpus_ == end)
    return refuse("There is no hotpluggable cpu-id for this VM.",
                  "-smp " + std::to_string(vcpus_) + ",maxcpus=N with a larger N leaves room for some.");
  if (wanted < vcpus_) return refuse("Cpu-id " + number + " already exist.", "It is there from the start. " + free);
  if (wanted >= end) return refuse("Max cpu-id is " + last, free);
  Cpu& cpu = cpus_[wanted];
  if (!cpu.device.empty())
    return refuse("Cpu-id " + number + " is running, device id is " + cpu.device + ".",
                  "Choose another, or remove that first.");
  cpu.device = device.id;
  placement.kind = NACRE_PLACE_CPU;
  placement.slot = static_cast<uint32_t>(wanted);
  return {};
}

void CpuController::displace(uint32_t index) {
  sdk::MutexLock lock(mutex_);
  cpus_[index] = Cpu();
}

void CpuController::changed(uint32_t index, bool plugged) {
  bool never_seen;
  {
    sdk::MutexLock lock(mutex_);
    Cpu& cpu = cpus_[index];
    never_seen = !booted_;
    if (plugged) {
      cpu.status = never_seen ? kPresent : kPresent | kInsert;
    } else if (!never_seen) {
      cpu.status |= kRemove;
      cpu.leaving = true;
    }
    last_ = static_cast<uint8_t>(index);
    if (!never_seen) events_ |= kCpuEvent;
  }
  if (!never_seen)
    host.irq->pulse(irq_);
  else if (!plugged)
    host.machine->cpu_ejected(machine_, index);
}

bool CpuController::leaving(uint32_t index) {
  sdk::MutexLock lock(mutex_);
  return cpus_[index].leaving;
}

std::vector<bool> CpuController::begin_boot() {
  sdk::MutexLock lock(mutex_);
  std::vector<bool> present;
  for (uint32_t index = 0; index < cpus_.size(); ++index) {
    Cpu& cpu = cpus_[index];
    if (std::exchange(cpu.leaving, false)) {
      cpu.status = 0;
      host.machine->cpu_ejected(machine_, index);
    }
    cpu.status &= kPresent;
    present.push_back(cpu.status != 0);
  }
  events_ = 0;
  selected_ = 0;
  booted_ = true;
  return present;
}

uint64_t CpuController::on_read(void* self, uint64_t offset, uint32_t width) noexcept {
  return static_cast<CpuController*>(self)->read(offset, width);
}

void CpuController::on_write(void* self, uint64_t offset, uint32_t width, uint64_t value) noexcept {
  if (width == 1) static_cast<CpuController*>(self)->write(offset, static_cast<uint8_t>(value));
}

uint64_t CpuController::read(uint64_t offset, uint32_t width) {
  sdk::MutexLock lock(mutex_);
  if (offset == kEventRegister && width == 4) return std::exchange(events_, 0);
  if (width != 1) return ~uint64_t{0};
  if (offset == kSelection) return last_;
  if (offset == kStatus) return selected_ < cpus_.size() ? cpus_[selected_].status : 0;
  return offset == kResult ? 0 : ~uint64_t{0};
}

void CpuController::write(uint64_t offset, uint8_t value) {
  sdk::MutexLock lock(mutex_);
  if (offset == kSelection) selected_ = value;
  if (selected_ >= cpus_.size()) return;
  Cpu& cpu = cpus_[selected_];
  if (offset == kStatus) write_status(cpu, value);
  if (offset == kResult && cpu.leaving && value != kDone && value != kUnderWay) {
    cpu.leaving = false;
    sdk::log(machine_, NACRE_LOG_WARN, "the guest does not give up vCPU ", std::to_string(selected_),
             ": its _OST code is ", std::to_string(value));
  }
}

void CpuController::write_status(Cpu& cpu, uint8_t value) {
  cpu.status &= static_cast<uint8_t>(~(value & (kInsert | kRemove)));
  // Those of the machine's own stay, whatever the guest says.
  if (!(value & kEject) || cpu.device.empty() || !(cpu.status & kPresent)) return;
  cpu.status = 0;
  cpu.leaving = false;
  host.machine->cpu_ejected(machine_, selected_);
}

}  // namespace nacre::q35
