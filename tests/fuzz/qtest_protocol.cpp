// A test's requests, lines in either dialect of the protocol, to a machine of a little memory and one device.
#include <memory>
#include <vector>

#include "core/vm/qtest/protocol.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/quiet.hpp"

namespace {

using namespace nacre;
using fuzz::require;

constexpr uint64_t kMemoryBytes = 64 << 10;
constexpr uint64_t kDevice = 0x100000, kDeviceBytes = 0x100;
constexpr uint64_t kPort = 0x60, kPorts = 8;
constexpr int kMostLines = 12;  // one may ask for 16 MiB

// Raises and lowers lines by what is written to it.
struct Device {
  qtest::TestVm& vm;
  uint64_t value = 0;

  static uint64_t read(void* self, uint64_t, uint32_t) noexcept { return static_cast<Device*>(self)->value; }
  static void write(void* self, uint64_t, uint32_t, uint64_t value) noexcept {
    auto& device = *static_cast<Device*>(self);
    device.value = value;
    (void)device.vm.set_irq_line(value % 32, value & 32);
    (void)device.vm.signal_msi(0xfee00000, static_cast<uint32_t>(value));
  }
  static constexpr nacre_mmio_ops kOps{sizeof(nacre_mmio_ops), 0, read, write};
};

// A timer that falls due every second.
class Clock : public qtest::Protocol::Time {
 public:
  explicit Clock(bool timer) : timer_(timer) {}
  uint64_t now() const override { return now_; }
  uint64_t next_deadline() override {
    return timer_ && now_ < UINT64_MAX - kSecond ? now_ / kSecond * kSecond + kSecond : UINT64_MAX;
  }
  void move_to(uint64_t ns) override { now_ = ns; }

 private:
  static constexpr uint64_t kSecond = 1'000'000'000;
  const bool timer_;
  uint64_t now_ = 0;
};

void require_answer(const std::string& answer, qtest::Dialect dialect) {
  require(!answer.empty() && answer.find('\n') == answer.npos, "a request has an answer of one line", answer);
  if (answer.starts_with("FAIL ")) return fuzz::require_sentence(answer.substr(5));
  require(answer == "OK" || answer.starts_with("OK ") ||
              (dialect == qtest::Dialect::StratoVirt && answer.starts_with("Unsupported command: ")),
          "an answer says whether it was done", answer.substr(0, 80));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static EventLoop& loop = *EventLoop::create()->release();
  fuzz::Input input(data, size);
  const uint8_t flags = input.number<uint8_t>();
  const auto dialect = flags & 1 ? qtest::Dialect::StratoVirt : qtest::Dialect::Qemu;
  const auto memory = std::make_unique<uint8_t[]>(kMemoryBytes);
  qtest::TestVm vm(loop);
  require(bool(vm.set_memory_slot(0, 0, kMemoryBytes, memory.get(), flags & 2 ? KVM_MEM_READONLY : 0)),
          "there is memory");
  AddressSpace::Options options;
  AddressSpace registers(options);
  options.space = NACRE_SPACE_PIO;
  AddressSpace ports(options);
  Device device{vm};
  BusRegion* at = *registers.claim(kDevice, kDeviceBytes, 0, Device::kOps, &device, "device 'd'");
  BusRegion* at_ports = *ports.claim(kPort, kPorts, 0, Device::kOps, &device, "device 'd'");
  Clock clock(flags & 4);
  qtest::Protocol protocol(
      vm, qtest::Access(vm, registers, ports, flags & 1 ? qtest::Access::Nobody::Zeros : qtest::Access::Nobody::Ones),
      clock, dialect, [](std::string_view line) {
        require(line.starts_with("IRQ ") && line.find('\n') == line.npos, "a line is told of");
      });
  const std::string all = input.text(input.left());
  size_t begin = 0;
  for (int lines = 0; lines < kMostLines && begin < all.size(); ++lines) {
    const size_t end = std::min(all.find('\n', begin), all.size());
    require_answer(protocol.answer(std::string_view(all).substr(begin, end - begin)), dialect);
    begin = end + 1;
    loop.post_alone([] { loop.stop(); });
    loop.run();
  }
  registers.release(at);
  ports.release(at_ports);
  return 0;
}
