// Firmware in flash: files of any bytes and length in both units, also ones that have become shorter, and a kernel and
// an initrd for it to start.
#include "machines/q35/firmware.hpp"

#include <algorithm>
#include <nacre/fake/host.hpp>

#include "machines/common/fake_guest.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/memory_file.hpp"

namespace {

using namespace nacre;
using fuzz::require;
using machine::kGiB;
using machine::kMiB;

machine::FakeGuest& guest() {
  static machine::FakeGuest made(2 * kMiB);
  return made;
}

nacre_status load_file(nacre_instance*, uint64_t gpa, int32_t fd, uint64_t offset, uint64_t length,
                       nacre_error* error) noexcept {
  const std::span<uint8_t> to = guest().memory().bytes(gpa, length);
  require(length > 0 && to.size() == length && gpa + length == kMiB, "the end of the firmware is copied below 1 MiB");
  if (::pread(fd, to.data(), length, static_cast<off_t>(offset)) == static_cast<ssize_t>(length)) return NACRE_OK;
  sdk::host.error->set(error, "the file has become shorter.");
  return NACRE_IO;
}

void boot_devices(nacre_instance*, void (*each)(void*, const nacre_boot_device*) noexcept, void* opaque) noexcept {
  constexpr uint8_t kPath[] = {2 << 3};
  nacre_boot_device disk{};
  disk.size = sizeof disk;
  disk.virtio_device_id = 2;
  disk.path = kPath;
  disk.path_length = 1;
  each(opaque, &disk);
}

// What firmware asks of its host beyond what the SDK's fake one has.
constexpr nacre_machine_v1 kMachine = [] {
  nacre_machine_v1 table{};
  table.size = sizeof table;
  table.load_file = load_file;
  table.boot_devices = boot_devices;
  return table;
}();

// Holds the flash to its place: unit 0 ends at 4 GiB, unit 1 below it.
void place(const nacre_machine_config& config, const char* id, const std::string& properties) {
  const bool second = std::string_view(id).ends_with('1');
  const uint64_t end = 4 * kGiB - (second ? config.flash_length[0] : 0);
  require(end - config.flash_length[second] >= 4 * kGiB - 16 * kMiB, "flash leaves interrupt controllers alone");
  require(properties.find(",end=" + machine::hex(end) + ",") != properties.npos, "flash lies below 4 GiB", properties);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sdk::host.connect(fake::hello());
  sdk::host.machine = &kMachine;
  static fuzz::MemoryFile units[2]{fuzz::MemoryFile("code"), fuzz::MemoryFile("variables")};
  static fuzz::MemoryFile kernel("kernel"), initrd("initrd");
  static fake::Memory memory;
  static nacre_loop loop;

  fuzz::Input input(data, size);
  const uint8_t flags = input.number<uint8_t>();
  nacre_machine_config config{};
  config.size = sizeof config;
  config.vcpus = config.max_vcpus = 1 + (flags >> 6);
  config.sockets = 1;
  config.ram_size = guest().ram.size();
  config.append = "console=ttyS0";
  for (int unit = 0; unit < (flags & 1 ? 2 : 1); ++unit) {
    const uint8_t how = input.number<uint8_t>();
    const uint64_t pages = how & 1 ? input.number<uint16_t>() % 0x1100 : input.number<uint8_t>();
    config.flash_drive[unit] = unit ? "f1" : "f0";
    config.flash_length[unit] = pages * 4096 + (how & 2 ? input.number<uint16_t>() : 0);
    config.flash_fd[unit] = units[unit].fd();
    const auto bytes = input.take(input.number<uint16_t>() % 1024);
    units[unit].fill(bytes, how & 4 ? 0 : config.flash_length[unit]);
  }
  if (flags & 2) {
    kernel.fill(input.take(input.below(64)), flags & 4 ? 8192 : 0);
    config.kernel = kernel.path().c_str();
  }
  if (flags & 8) {
    initrd.fill(input.take(input.below(64)));
    config.initrd = initrd.path().c_str();
  }

  nacre_instance instance(memory, loop, "machine");
  {
    q35::Firmware firmware(&instance, config);
    nacre_error slot;
    sdk::Status done = firmware.open();
    if (done)
      done = firmware.build(
          [&config](const char*, const char* id, const std::string& properties) -> sdk::Status {
            place(config, id, properties);
            return {};
          },
          &slot);
    machine::AcpiMachine acpi;
    acpi.name = "FUZZ";
    // A reset boots it again.
    for (int boots = 0; boots < 2 && done; ++boots) done = firmware.boot(acpi, guest().layout(), &slot);
    if (!done) {
      fuzz::require_sentence(done.error().message);
    } else {
      const uint64_t length = std::min<uint64_t>(config.flash_length[0], 128 << 10);
      std::vector<uint8_t> end(length);
      require(::pread(config.flash_fd[0], end.data(), length, static_cast<off_t>(config.flash_length[0] - length)) ==
                      static_cast<ssize_t>(length) &&
                  std::equal(end.begin(), end.end(), guest().ram.begin() + static_cast<off_t>(kMiB - length)),
              "a processor in real mode sees the end of the firmware");
    }
  }
  require(instance.held().empty(), "firmware that is gone holds nothing", instance.held());
  return 0;
}
