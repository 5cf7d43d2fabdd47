#include "tests/fuzz/guest.hpp"

#include <algorithm>

namespace nacre::fuzz {
namespace {

constexpr uint64_t kEcam = 0xb0000000;   // of q35
constexpr uint64_t kSlots = 0xf0100000;  // of microvm's virtio devices
constexpr uint32_t kSlotBytes = 0x200, kMostSlots = 64;
constexpr uint32_t kWindow = 0xc0000000;  // 16 MiB a bus, 1 MiB a slot of the root bus
constexpr uint32_t kBusWindow = 0x1000000;
constexpr uint16_t kPorts = 0x1000;  // as much a bus
constexpr uint32_t kMagic = 0x74726976;
enum : uint32_t { kCommand = 4, kHeader = 0xe, kBar0 = 0x10, kBuses = 0x18, kWindows = 0x20, kList = 0x34 };
enum : uint32_t { kVendorSpecific = 9, kExpress = 0x10, kMsix = 0x11 };
enum : uint32_t { kAcknowledge = 1, kDriver = 2, kDriverOk = 4, kFeaturesOk = 8, kNeedsReset = 0x40 };
constexpr uint64_t kVersion1 = uint64_t{1} << 32;

}  // namespace

void Guest::place() {
  functions_.clear();
  ports_.clear();
  virtio_.clear();
  if (has_pci()) {
    place_bus(0, 0);
    return;
  }
  for (uint32_t slot = 0; slot < kMostSlots; ++slot) {
    const uint64_t base = kSlots + slot * kSlotBytes;
    if (guest_.load(base, 4) == kMagic && guest_.load(base + 8, 4) != 0)
      virtio_.push_back({true, base, 0, base + 0x100, 0, 0});
  }
}

uint32_t Guest::place_bus(uint32_t bus, uint32_t last_bus) {
  for (uint32_t slot = 0; slot < 32; ++slot) {
    const uint64_t config = kEcam + (uint64_t{bus} << 20 | slot << 15);
    if (guest_.load(config, 2) == 0xffff) continue;
    functions_.push_back(config);
    if ((guest_.load(config + kHeader, 1) & 0x7f) == 1) {
      ports_.push_back(config);
      ++last_bus;
      const uint32_t begin = kWindow + last_bus * kBusWindow;
      guest_.store(config + kBuses, 4, last_bus << 16 | last_bus << 8 | bus);
      guest_.store(config + kWindows, 4, begin >> 16 | (begin + kBusWindow - 1) >> 16 << 16);
      guest_.store(config + 0x1c, 2, (kPorts * last_bus) >> 8 | ((kPorts * last_bus) >> 8) << 8);
      guest_.store(config + kCommand, 2, 7);
      last_bus = place_bus(last_bus, last_bus);
    } else {
      place_function(bus, slot << 3);
    }
  }
  return last_bus;
}

void Guest::place_function(uint32_t bus, uint32_t devfn) {
  const uint64_t config = kEcam + (uint64_t{bus} << 20 | devfn << 12);
  uint64_t bars[6] = {};
  uint64_t at = kWindow + bus * kBusWindow + (bus ? 0 : (devfn >> 3) * 0x80000);
  guest_.store(config + kCommand, 2, 0);
  for (uint32_t bar = 0; bar < 6; ++bar) {
    const uint64_t place = config + kBar0 + 4 * bar;
    guest_.store(place, 4, 0xffffffff);
    const auto mask = static_cast<uint32_t>(guest_.load(place, 4));
    if (!mask) continue;
    const uint64_t length = ~(mask & (mask & 1 ? ~3u : ~15u)) + 1u;
    if (mask & 1) {
      guest_.store(place, 4, kPorts * bus + kPorts + (devfn >> 3) * 0x80);
      continue;
    }
    bars[bar] = (at + length - 1) / length * length;
    guest_.store(place, 4, bars[bar]);
    at = bars[bar] + length;
    if ((mask & 6) == 4) guest_.store(config + kBar0 + 4 * ++bar, 4, 0);
  }
  guest_.store(config + kCommand, 2, 7);
  note_virtio(config, bars);
}

void Guest::note_virtio(uint64_t config, const uint64_t* bars) {
  if (guest_.load(config, 2) != 0x1af4) return;
  Virtio device{};
  for (uint64_t at = guest_.load(config + kList, 1), steps = 0; at && steps < 48; ++steps) {
    const uint64_t kind = guest_.load(config + at, 1);
    if (kind == kVendorSpecific) {
      const uint64_t what = guest_.load(config + at + 3, 1), bar = guest_.load(config + at + 4, 1);
      const uint64_t place = bar < 6 ? bars[bar] + guest_.load(config + at + 8, 4) : 0;
      if (what == 1) device.common = place;
      if (what == 4) device.config = place;
      if (what == 2) {
        device.notify = place;
        device.multiplier = static_cast<uint32_t>(guest_.load(config + at + 16, 4));
      }
    }
    if (kind == kMsix) {
      const uint64_t table = guest_.load(config + at + 4, 4);
      if ((table & 7) < 6) device.msix = bars[table & 7] + (table & ~uint64_t{7});
      guest_.store(config + at + 2, 2, 0x8000);
    }
    at = guest_.load(config + at + 1, 1);
  }
  if (device.common) virtio_.push_back(device);
}

// The registers of both transports (virtio 1.2 §4.1.4.3, §4.2.2).
void Guest::start(size_t number, uint64_t features, uint32_t entries) {
  const Virtio& device = virtio_[number];
  const bool mmio = device.mmio;
  const auto put = [&](uint32_t at_mmio, uint32_t at_pci, uint32_t width, uint64_t value) {
    guest_.store(device.common + (mmio ? at_mmio : at_pci), mmio ? 4 : width, value);
  };
  const auto get = [&](uint32_t at_mmio, uint32_t at_pci, uint32_t width) {
    return guest_.load(device.common + (mmio ? at_mmio : at_pci), mmio ? 4 : width);
  };
  put(0x70, 20, 1, 0);
  machine_.serve();
  put(0x70, 20, 1, kAcknowledge);
  put(0x70, 20, 1, kAcknowledge | kDriver);
  for (uint32_t half = 0; half < 2; ++half) {
    put(0x14, 0, 4, half);
    const uint64_t offered = get(0x10, 4, 4);
    put(0x24, 8, 4, half);
    put(0x20, 12, 4, offered & features >> 32 * half);
  }
  put(0x70, 20, 1, kAcknowledge | kDriver | kFeaturesOk);
  if (!mmio && device.msix) {
    for (uint64_t vector = 0; vector < kQueues; ++vector) {
      guest_.store(device.msix + 16 * vector, 8, 0xfee00000);
      guest_.store(device.msix + 16 * vector + 8, 8, 0x40 + vector);
    }
    put(0, 16, 2, 0);
  }
  for (uint32_t queue = 0; queue < kQueues; ++queue) {
    put(0x30, 22, 2, queue);
    const uint64_t most = get(0x34, 24, 2);
    if (!most) break;
    const uint64_t ring = ring_at(number, queue);
    const uint8_t empty[kRingBytes] = {};
    guest_.write(ring, empty, sizeof empty);
    put(0x38, 24, 2, std::min<uint64_t>(entries, most));
    for (uint32_t part = 0; part < 3; ++part) {
      put(0x80 + 0x10 * part, 32 + 8 * part, 4, ring + 0x400 * part);
      put(0x84 + 0x10 * part, 36 + 8 * part, 4, 0);
    }
    if (!mmio) put(0, 26, 2, device.msix ? 1 : 0xffff);
    put(0x44, 28, 2, 1);
  }
  put(0x70, 20, 1, kAcknowledge | kDriver | kFeaturesOk | kDriverOk);
}

uint32_t Guest::status(const Virtio& device) {
  return static_cast<uint32_t>(guest_.load(device.common + (device.mmio ? 0x70 : 20), device.mmio ? 4 : 1));
}

void Guest::notify(const Virtio& device, uint32_t queue) {
  if (device.mmio)
    guest_.store(device.common + 0x50, 4, queue);
  else
    guest_.store(device.notify + uint64_t{queue} * device.multiplier, 2, queue);
}

Guest::Virtio* Guest::device(Input& input, size_t* number) {
  if (virtio_.empty()) return nullptr;
  *number = input.below(static_cast<uint32_t>(virtio_.size()));
  return &virtio_[*number];
}

uint64_t Guest::somewhere(Input& input, uint32_t kind, uint32_t width) {
  const std::vector<AddressSpace::Range> ranges = machine_.space(kind).ranges();
  if (ranges.empty()) return 0;
  // BARs first, as they are what there is most of: the lowest of a place in the list is the window's.
  const AddressSpace::Range& range = ranges[input.below(static_cast<uint32_t>(ranges.size()))];
  const uint64_t offset = range.length > 0x10000 ? input.number<uint32_t>()
                          : range.length > 0x100 ? input.number<uint16_t>()
                                                 : input.number<uint8_t>();
  return range.base + (range.length > width ? offset % (range.length - width + 1) : 0);
}

void Guest::access_ports(Input& input) {
  const uint8_t how = input.number<uint8_t>();
  const uint32_t width = 1u << (how & 3) % 3;
  const auto port =
      static_cast<uint16_t>(how & 4 ? input.number<uint16_t>() : somewhere(input, NACRE_SPACE_PIO, width));
  if (how & 8)
    guest_.out(port, width, width == 1 ? input.number<uint8_t>() : input.number<uint32_t>());
  else
    (void)guest_.in(port, width);
}

void Guest::read_registers(Input& input) {
  const uint32_t width = 1u << input.below(4);
  (void)guest_.load(somewhere(input, NACRE_SPACE_MMIO, width), width);
}

void Guest::write_registers(Input& input) {
  const uint8_t how = input.number<uint8_t>();
  const uint32_t width = 1u << (how & 3);
  const uint64_t at = somewhere(input, NACRE_SPACE_MMIO, width);
  if (how & 4) {  // a string instruction
    const auto bytes = input.take(input.below(64));
    guest_.write(at, bytes.data(), bytes.size());
  } else {
    guest_.store(at, width, how & 8 ? input.number<uint64_t>() : input.number<uint8_t>());
  }
}

void Guest::access_anywhere(Input& input) {
  const uint8_t how = input.number<uint8_t>();
  const uint32_t width = 1u << (how & 3);
  const uint64_t at = how & 4 ? input.number<uint64_t>() : input.number<uint32_t>();
  if (how & 8)
    guest_.store(at, width, input.number<uint64_t>());
  else
    (void)guest_.load(at, width);
}

// Into rings, buffers, or elsewhere.
void Guest::write_memory(Input& input) {
  const uint8_t how = input.number<uint8_t>();
  const uint64_t at = how & 1   ? kRings + input.number<uint32_t>() % (virtio_.size() * kQueues * kRingBytes + 1)
                      : how & 2 ? kBuffers + input.number<uint16_t>()
                                : input.number<uint32_t>() % (128u << 20);
  const auto bytes = input.take(input.below(64));
  guest_.write(at, bytes.data(), bytes.size());
}

void Guest::configure(Input& input) {
  if (functions_.empty()) return;
  const uint8_t how = input.number<uint8_t>();
  const uint64_t config = functions_[input.below(static_cast<uint32_t>(functions_.size()))];
  const uint32_t width = 1u << (how & 3) % 3;
  const uint64_t offset = how & 4 ? input.number<uint16_t>() % 4096 : input.number<uint8_t>();
  if (how & 8)
    (void)guest_.load(config + offset, width);
  else
    guest_.store(config + offset, width, how & 16 ? input.number<uint8_t>() : input.number<uint32_t>());
}

void Guest::configure_by_ports(Input& input) {
  const uint8_t how = input.number<uint8_t>();
  const uint64_t config =
      functions_.empty() ? kEcam : functions_[input.below(static_cast<uint32_t>(functions_.size()))];
  const uint32_t address =
      how & 1 ? input.number<uint32_t>()
              : static_cast<uint32_t>(1u << 31 | ((config - kEcam) >> 4 & 0xffff00) | (input.number<uint8_t>() & 0xfc));
  guest_.out(0xcf8, 4, address);
  const auto port = static_cast<uint16_t>(0xcfc + (how >> 1 & 3));
  const uint32_t width = 1u << (how >> 3 & 3) % 3;
  if (how & 32)
    (void)guest_.in(port, width);
  else
    guest_.out(port, width, input.number<uint32_t>());
}

void Guest::answer_hotplug(Input& input) {
  if (ports_.empty()) return;
  const uint64_t port = ports_[input.below(static_cast<uint32_t>(ports_.size()))];
  uint64_t express = 0;
  for (uint64_t at = guest_.load(port + kList, 1), steps = 0; at && steps < 48 && !express; ++steps) {
    if (guest_.load(port + at, 1) == kExpress) express = port + at;
    at = guest_.load(port + at + 1, 1);
  }
  if (!express) return;
  // Power and attention indicators, power off, events on; the status as it reads, which clears it.
  static constexpr uint16_t kControls[] = {0x0400, 0x07c0, 0x13f1, 0x17f9, 0x0000, 0x1000, 0x0bff, 0x02c0};
  const uint8_t how = input.number<uint8_t>();
  const uint64_t status = guest_.load(express + 0x1a, 2);
  if (how & 16) guest_.store(express + 0x1a, 2, how & 32 ? input.number<uint16_t>() : status);
  if (how & 64) guest_.store(express + 0x18, 2, how & 8 ? input.number<uint16_t>() : kControls[how & 7]);
}

void Guest::bring_up(Input& input) {
  size_t number;
  if (!device(input, &number)) return;
  const uint8_t how = input.number<uint8_t>();
  start(number, how & 1 ? input.number<uint64_t>() | kVersion1 : ~uint64_t{0}, how & 2 ? kEntries : 4);
}

void Guest::describe(Input& input) {
  size_t number;
  if (!device(input, &number)) return;
  const uint64_t ring = ring_at(number, input.below(kQueues));
  const uint64_t at = ring + 16 * input.below(kEntries);
  const uint8_t how = input.number<uint8_t>();
  guest_.store(at, 8, how < 8 ? input.number<uint64_t>() : kBuffers + input.number<uint16_t>());
  guest_.store(at + 8, 4, how & 64 ? input.number<uint32_t>() : input.number<uint16_t>() % 1100);
  guest_.store(at + 12, 2, input.number<uint8_t>() & 7);
  guest_.store(at + 14, 2, input.number<uint8_t>());
}

// As its device's driver makes one: a head that the device reads, data, a place for an answer.
void Guest::request(Input& input) {
  size_t number;
  Virtio* device = this->device(input, &number);
  if (!device) return;
  const uint32_t queue = input.below(kQueues);
  const uint64_t ring = ring_at(number, queue), available = ring + 0x400;
  const uint8_t shape = input.number<uint8_t>();
  const uint32_t parts = shape % 4 + 1, readable = (shape >> 2) % (parts + 1);
  for (uint32_t i = 0; i < parts; ++i) {
    guest_.store(ring + 16 * i, 8, kBuffers + 0x1000 * i + (shape & 64 ? input.number<uint8_t>() : 0));
    guest_.store(ring + 16 * i + 8, 4, std::max<uint32_t>(1, input.number<uint16_t>() % 600));
    guest_.store(ring + 16 * i + 12, 2, (i + 1 < parts ? 1u : 0u) | (i >= readable ? 2u : 0u));
    guest_.store(ring + 16 * i + 14, 2, i + 1);
  }
  const auto head = input.take(input.below(48));
  guest_.write(kBuffers, head.data(), head.size());
  const uint64_t index = guest_.load(available + 2, 2);
  guest_.store(available + 4 + 2 * (index % kEntries), 2, 0);
  guest_.store(available + 4 + 2 * (index % 4), 2, 0);  // where the ring has four
  guest_.store(available + 2, 2, index + 1);
  notify(*device, queue);
}

void Guest::offer(Input& input) {
  size_t number;
  Virtio* device = this->device(input, &number);
  if (!device) return;
  const uint8_t how = input.number<uint8_t>();
  const uint32_t queue = how & 1 ? input.number<uint8_t>() : input.below(kQueues);
  const uint64_t available = ring_at(number, queue % kQueues) + 0x400;
  const uint64_t index = guest_.load(available + 2, 2);
  guest_.store(available + 4 + 2 * (index % kEntries), 2, input.number<uint8_t>());
  guest_.store(available + 2, 2, how & 2 ? input.number<uint16_t>() : index + 1 + (how >> 2 & 7));
  notify(*device, queue);
}

void Guest::configure_device(Input& input) {
  size_t number;
  Virtio* device = this->device(input, &number);
  if (!device || !device->config) return;
  const uint8_t how = input.number<uint8_t>();
  const uint64_t at = device->config + input.number<uint8_t>();
  if (how & 4)
    (void)guest_.load(at, 1u << (how & 3));
  else
    guest_.store(at, 1u << (how & 3), input.number<uint64_t>());
}

void Guest::require_all_work_after_a_reset() {
  const Status reset = machine_.vm().life_cycle().reset(false);
  require(bool(reset), "the machine can be reset whatever was done to it", reset ? "" : reset.error().message);
  machine_.serve();
  place();
  for (size_t number = 0; number < virtio_.size(); ++number) {
    start(number, ~uint64_t{0}, kEntries);
    machine_.serve();
    require((status(virtio_[number]) & ~0x80u) == (kAcknowledge | kDriver | kFeaturesOk | kDriverOk),
            "after a reset every device can be brought up",
            std::to_string(number) + " of " + std::to_string(virtio_.size()) + " has status " +
                std::to_string(status(virtio_[number])));
  }
}

}  // namespace nacre::fuzz
