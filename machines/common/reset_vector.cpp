#include "machines/common/reset_vector.hpp"

#include <array>

namespace nacre::machine {
namespace {

constexpr uint64_t kAddress = 0xffff0;
using Code = std::array<uint8_t, 16>;

constexpr Code write_port(uint16_t port) {
  return {
      0xba,
      static_cast<uint8_t>(port),
      static_cast<uint8_t>(port >> 8),  // mov dx, port
      0xb0,
      0x01,  // mov al, 1
      0xee,  // out dx, al
      0xf4,  // hlt
      0xeb,
      0xfd,  // jmp to the hlt
  };
}

constexpr Code kTripleFault = {
    0x2e, 0x0f, 0x01, 0x1e, 0x0a, 0x00,  // lidt cs:[0x000a]: the six zeros at the end
    0xcd, 0x18,                          // int 0x18, beyond the table's limit
    0xf4,                                // hlt
};

}  // namespace

sdk::Status write_reset_vector(std::optional<uint16_t> reset_port, const sdk::MemoryView& memory) {
  const Code code = reset_port ? write_port(*reset_port) : kTripleFault;
  if (!memory.write(kAddress, code.data(), code.size()))
    return sdk::fail("the machine has less than 1 MiB of memory; give it more with -m.");
  return {};
}

}  // namespace nacre::machine
