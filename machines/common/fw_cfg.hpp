// The firmware configuration device that QEMU's firmware knows: items by number, files by name, and copies into guest
// memory (QEMU documentation, "QEMU Firmware Configuration (fw_cfg) Device"). What a machine binds it to, ports or a
// memory-mapped range, is beside it.
#pragma once

#include <map>
#include <nacre/memory.hpp>
#include <string_view>

#include "machines/common/boot_file.hpp"
#include "machines/common/bytes.hpp"

namespace nacre::machine {

// Not for several threads at once. Items are set while no vCPU runs.
class FwCfg {
 public:
  enum Key : uint16_t {
    kSignature = 0x00,
    kId = 0x01,
    kUuid = 0x02,
    kRamSize = 0x03,
    kNoGraphics = 0x04,
    kCpus = 0x05,
    kKernelSize = 0x08,
    kInitrdSize = 0x0b,
    kBootMenu = 0x0e,
    kMaxCpus = 0x0f,
    kKernelData = 0x11,
    kInitrdData = 0x12,
    kCommandLineSize = 0x14,
    kCommandLineData = 0x15,
    kSetupSize = 0x17,
    kSetupData = 0x18,
    kDirectory = 0x19,
    kFirstFile = 0x20,
  };
  static constexpr size_t kMaxName = 55;  // bytes of a file's name
  static constexpr uint64_t kAtOnce = 64 << 10;
  static constexpr uint64_t kSlice = 1 << 20;

  // Forgets all items, and sets those that tell what the device is.
  void clear();
  void set(uint16_t key, Bytes content);
  // An integer of T's width, little-endian.
  template <typename T>
  void set_number(uint16_t key, T value) {
    Bytes content;
    append(content, value);
    set(key, std::move(content));
  }
  // [offset, offset + length) of a file, which outlives this and is read when the guest reads.
  void set(uint16_t key, const BootFile& file, uint64_t offset, uint64_t length);
  // By name, of at most kMaxName bytes; no two have the same.
  void add_file(std::string_view name, Bytes content);
  // After the last file: the directory.
  void finish();

  // The selector and the data register.
  void select(uint16_t key);
  uint8_t read_byte();

  // The guest has written the address of a command. It is carried out at once when it is short; else the caller calls
  // step() until that returns false, and everything else is deaf meanwhile. A command that is not wholly in RAM is
  // ignored; one that names anything but RAM, or writes, ends with the error bit.
  bool start_dma(const sdk::MemoryView& memory, uint64_t address);
  bool step(const sdk::MemoryView& memory);

  // Power-on: nothing is selected, nothing is under way.
  void reset();

 private:
  struct Item {
    Bytes bytes;
    const BootFile* file = nullptr;
    uint64_t offset = 0;
    uint64_t length = 0;
  };
  struct Transfer {
    uint64_t command = 0;  // where it is
    uint64_t to = 0;
    uint64_t left = 0;
  };

  bool copy(const sdk::MemoryView& memory, uint64_t to, uint64_t length);
  void read_item(std::span<uint8_t> to);
  void complete(const sdk::MemoryView& memory, uint64_t command, bool failed);

  std::map<uint16_t, Item> items_;
  std::map<std::string, Bytes, std::less<>> files_;
  const Item* selected_ = nullptr;
  uint64_t position_ = 0;
  Transfer transfer_;
  bool busy_ = false;
};

// The device's id for firmware that asks: the register interface, and copies.
inline constexpr uint32_t kFwCfgFeatures = 3;

}  // namespace nacre::machine
