// What firmware is given, a kernel among it, and how it asks: the registers of fw_cfg and its copies into memory.
#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "machines/common/fake_guest.hpp"
#include "machines/common/fw_cfg_contents.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/memory_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nacre;
  using namespace nacre::machine;

  static FakeGuest guest(256 << 10);
  static fuzz::MemoryFile file("kernel");
  fuzz::Input input(data, size);
  const bool has_kernel = input.number<uint8_t>() & 1;
  const auto bytes = input.take(input.number<uint16_t>() % 2048);
  FirmwareContents contents;
  contents.ram_size = guest.ram.size();
  contents.e820.push_back({0, guest.ram.size(), RangeType::kRam});
  contents.command_line = "console=ttyS0";
  BootFile kernel;
  if (has_kernel && !bytes.empty()) {
    file.fill(bytes, uint64_t{bytes.size()} * 16);
    kernel = std::move(*BootFile::open(file.path(), "kernel"));
    contents.kernel = contents.initrd = &kernel;
  }
  FwCfg device;
  if (sdk::Status filled = fill_fw_cfg(device, std::move(contents)); !filled) {
    fuzz::require_sentence(filled.error().message);
    return 0;
  }
  for (int step = 0; step < 200 && !input.empty(); ++step) {
    switch (input.below(4)) {
      case 0:
        device.select(input.number<uint16_t>());
        break;
      case 1:
        for (uint32_t i = input.below(64) + 1; i; --i) (void)device.read_byte();
        break;
      case 2: {  // a command
        const uint64_t at = input.number<uint32_t>() % (guest.ram.size() + 32);
        const uint32_t control = input.number<uint32_t>(), length = input.number<uint32_t>();
        const uint64_t address = input.number<uint64_t>();
        if (at + 16 <= guest.ram.size()) {
          put<uint32_t>(guest.ram, at, __builtin_bswap32(control));
          put<uint32_t>(guest.ram, at + 4, __builtin_bswap32(length));
          put<uint64_t>(guest.ram, at + 8, __builtin_bswap64(address));
        }
        // Another is begun while it is under way, as a second vCPU may.
        bool more = device.start_dma(guest.memory(), at);
        if (more && input.below(2)) (void)device.start_dma(guest.memory(), input.number<uint32_t>());
        for (int steps = 0; more && steps < 10000; ++steps) more = device.step(guest.memory());
        fuzz::require(!more, "a command ends");
        break;
      }
      case 3:
        device.reset();
        break;
    }
  }
  return 0;
}
