#include "machines/common/smbios.hpp"

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdlib>
#include <string>
#include <vector>

#include "machines/common/memory_map.hpp"

namespace nacre::machine {
namespace {

// Types of structures (§7).
struct Type {
  enum : uint8_t {
    kFirmware = 0,
    kSystem = 1,
    kBoard = 2,
    kChassis = 3,
    kProcessor = 4,
    kMemoryArray = 16,
    kMemoryDevice = 17,
    kMappedMemory = 19,
    kBootState = 32,
    kEnd = 127
  };
};

// Each structure's number. Of those that there are several of, the first's.
enum : uint16_t {
  kSystemHandle = 0x100,
  kBoardHandle = 0x200,
  kChassisHandle = 0x300,
  kProcessorHandle = 0x400,
  kMemoryArrayHandle = 0x1000,
  kMemoryDeviceHandle = 0x1100,
  kMappedMemoryHandle = 0x1300,
  kBootStateHandle = 0x2000,
  kEndHandle = 0x7f00
};

constexpr uint16_t kNoHandle = 0xffff;
constexpr uint16_t kNoErrorStructure = 0xfffe;
constexpr uint8_t kOther = 1, kUnknown = 2, kSafe = 3;

constexpr uint64_t kAnchorAt = low::kBios;
constexpr uint64_t kTablesAt = kAnchorAt + 32;
constexpr uint64_t kTablesEnd = kMiB - 16;  // where the processor begins

// What the user says, by type and name.
class Words {
 public:
  explicit Words(const nacre_machine_config& config) : fields_(config.smbios, config.n_smbios) {}
  bool has(uint8_t type) const {
    return std::any_of(fields_.begin(), fields_.end(), [&](auto& field) { return field.type == type; });
  }
  std::string text(uint8_t type, std::string_view name, std::string_view fallback = "") const {
    for (const nacre_smbios_field& field : fields_)
      if (field.type == type && field.name == name) return field.value;
    return std::string(fallback);
  }
  uint16_t number(uint8_t type, std::string_view name) const {
    return static_cast<uint16_t>(std::strtoul(text(type, name, "0").c_str(), nullptr, 0));
  }

 private:
  std::span<const nacre_smbios_field> fields_;
};

// One structure: its formatted area, then its strings (§6.1).
class Structure {
 public:
  Structure(uint8_t type, uint16_t handle) : formatted_{type, 0} { append(formatted_, handle); }

  template <std::unsigned_integral T>
  Structure& add(T value) {
    append(formatted_, value);
    return *this;
  }
  // The number of the string; 0 for none.
  Structure& add(const std::string& text) {
    if (!text.empty()) strings_.push_back(text);
    return add(static_cast<uint8_t>(text.empty() ? 0 : strings_.size()));
  }
  Structure& add(std::span<const uint8_t> bytes) {
    append(formatted_, bytes);
    return *this;
  }

  void finish(Bytes& tables) {
    formatted_[1] = static_cast<uint8_t>(formatted_.size());
    append(tables, std::span<const uint8_t>(formatted_));
    for (const std::string& text : strings_) append_text(tables, text, text.size() + 1, 0);
    if (strings_.empty()) tables.push_back(0);
    tables.push_back(0);
  }

 private:
  Bytes formatted_;
  std::vector<std::string> strings_;
};

// §7.2.1: the first three fields of a UUID are little-endian. All zeroes: there is none.
std::array<uint8_t, 16> uuid_bytes(const std::string& text) {
  std::array<uint8_t, 16> bytes{};
  std::string digits = text;
  std::erase(digits, '-');
  if (digits.size() != 2 * bytes.size()) return bytes;
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<uint8_t>(std::strtoul(digits.substr(2 * i, 2).c_str(), nullptr, 16));
  std::reverse(bytes.begin(), bytes.begin() + 4);
  std::reverse(bytes.begin() + 4, bytes.begin() + 6);
  std::reverse(bytes.begin() + 6, bytes.begin() + 8);
  return bytes;
}

void add_firmware(const Words& words, Bytes& tables) {
  constexpr uint64_t kNoCharacteristics = 1 << 3;
  constexpr uint8_t kVirtualMachine = 1 << 4;
  Structure(Type::kFirmware, 0)
      .add(words.text(Type::kFirmware, "vendor"))
      .add(words.text(Type::kFirmware, "version"))
      .add(static_cast<uint16_t>(low::kBios >> 4))
      .add(words.text(Type::kFirmware, "date"))
      .add(uint8_t{0})  // 64 KiB
      .add(kNoCharacteristics)
      .add(uint8_t{0})
      .add(kVirtualMachine)
      .add(uint32_t{0xffffffff})  // no releases by number
      .finish(tables);
}

void add_system(const Words& words, Bytes& tables) {
  constexpr uint8_t kPowerSwitch = 6;
  Structure(Type::kSystem, kSystemHandle)
      .add(words.text(Type::kSystem, "manufacturer", "Nacre"))
      .add(words.text(Type::kSystem, "product", "q35"))
      .add(words.text(Type::kSystem, "version"))
      .add(words.text(Type::kSystem, "serial"))
      .add(uuid_bytes(words.text(Type::kSystem, "uuid")))
      .add(kPowerSwitch)
      .add(words.text(Type::kSystem, "sku"))
      .add(words.text(Type::kSystem, "family"))
      .finish(tables);
}

void add_board(const Words& words, Bytes& tables) {
  constexpr uint8_t kHosting = 1, kMotherboard = 10;
  Structure(Type::kBoard, kBoardHandle)
      .add(words.text(Type::kBoard, "manufacturer"))
      .add(words.text(Type::kBoard, "product"))
      .add(words.text(Type::kBoard, "version"))
      .add(words.text(Type::kBoard, "serial"))
      .add(words.text(Type::kBoard, "asset"))
      .add(kHosting)
      .add(words.text(Type::kBoard, "location"))
      .add(static_cast<uint16_t>(kChassisHandle))
      .add(kMotherboard)
      .add(uint8_t{0})  // no other structures
      .finish(tables);
}

void add_chassis(const Words& words, Bytes& tables) {
  Structure(Type::kChassis, kChassisHandle)
      .add(words.text(Type::kChassis, "manufacturer", "Nacre"))
      .add(kOther)
      .add(words.text(Type::kChassis, "version"))
      .add(words.text(Type::kChassis, "serial"))
      .add(words.text(Type::kChassis, "asset"))
      .add(kSafe)  // boot, power, temperature
      .add(kSafe)
      .add(kSafe)
      .add(kUnknown)     // security
      .add(uint32_t{0})  // OEM's
      .add(uint16_t{0})  // height and cords unknown
      .add(uint16_t{0})  // no other structures
      .add(words.text(Type::kChassis, "sku"))
      .finish(tables);
}

void add_processor(const Words& words, const nacre_machine_config& config, uint32_t socket, Bytes& tables) {
  constexpr uint8_t kCentral = 3, kPopulated = 0x41;
  const uint32_t cores = config.max_vcpus / config.sockets;
  const auto short_cores = static_cast<uint8_t>(std::min(cores, 0xffu));
  const auto long_cores = static_cast<uint16_t>(cores);
  Structure(Type::kProcessor, static_cast<uint16_t>(kProcessorHandle + socket))
      .add(words.text(Type::kProcessor, "sock_pfx", "CPU") + " " + std::to_string(socket))
      .add(kCentral)
      .add(kOther)  // family
      .add(words.text(Type::kProcessor, "manufacturer", "Nacre"))
      .add(uint64_t{0})  // what CPUID says, the guest asks CPUID for
      .add(words.text(Type::kProcessor, "version"))
      .add(uint8_t{0})   // voltage
      .add(uint16_t{0})  // external clock
      .add(words.number(Type::kProcessor, "max-speed"))
      .add(words.number(Type::kProcessor, "current-speed"))
      .add(kPopulated)
      .add(kOther)  // how it is fitted
      .add(kNoHandle)
      .add(kNoHandle)
      .add(kNoHandle)
      .add(words.text(Type::kProcessor, "serial"))
      .add(words.text(Type::kProcessor, "asset"))
      .add(words.text(Type::kProcessor, "part"))
      .add(short_cores)
      .add(short_cores)
      .add(short_cores)  // threads
      .add(uint16_t{kUnknown})
      .add(uint16_t{kOther})  // family again
      .add(long_cores)
      .add(long_cores)
      .add(long_cores)
      .finish(tables);
}

void add_memory(const Words& words, const nacre_machine_config& config, Bytes& tables) {
  constexpr uint8_t kSystemMemory = 3, kNoCorrection = 3, kDimm = 9, kRam = 7;
  constexpr uint16_t kSizeBelow = 0x7fff;
  const uint64_t mebibytes = config.ram_size / kMiB;
  Structure(Type::kMemoryArray, kMemoryArrayHandle)
      .add(kOther)
      .add(kSystemMemory)
      .add(kNoCorrection)
      .add(uint32_t{0x80000000})  // the size is below
      .add(kNoErrorStructure)
      .add(uint16_t{1})
      .add(config.ram_size)
      .finish(tables);
  Structure(Type::kMemoryDevice, kMemoryDeviceHandle)
      .add(static_cast<uint16_t>(kMemoryArrayHandle))
      .add(kNoErrorStructure)
      .add(uint16_t{0xffff})  // widths unknown
      .add(uint16_t{0xffff})
      .add(static_cast<uint16_t>(std::min<uint64_t>(mebibytes, kSizeBelow)))
      .add(kDimm)
      .add(uint8_t{0})  // of no set
      .add(words.text(Type::kMemoryDevice, "loc_pfx", "DIMM") + " 0")
      .add(words.text(Type::kMemoryDevice, "bank"))
      .add(kRam)
      .add(uint16_t{1 << 1})  // other
      .add(words.number(Type::kMemoryDevice, "speed"))
      .add(words.text(Type::kMemoryDevice, "manufacturer", "Nacre"))
      .add(words.text(Type::kMemoryDevice, "serial"))
      .add(words.text(Type::kMemoryDevice, "asset"))
      .add(words.text(Type::kMemoryDevice, "part"))
      .add(uint8_t{0})  // rank unknown
      .add(static_cast<uint32_t>(mebibytes < kSizeBelow ? 0 : mebibytes))
      .add(words.number(Type::kMemoryDevice, "speed"))
      .add(uint16_t{0})  // voltages unknown
      .add(uint16_t{0})
      .add(uint16_t{0})
      .finish(tables);
  Structure(Type::kMappedMemory, kMappedMemoryHandle)
      .add(uint32_t{0xffffffff})  // the addresses are below
      .add(uint32_t{0xffffffff})
      .add(static_cast<uint16_t>(kMemoryArrayHandle))
      .add(uint8_t{1})
      .add(uint64_t{0})
      .add(config.ram_size - 1)
      .finish(tables);
}

// §5.2.2.
Bytes anchor_of(const Bytes& tables) {
  constexpr size_t kChecksum = 5;
  Bytes anchor = {'_', 'S', 'M', '3', '_', 0, 24, 3, 4, 0, 1, 0};  // length, version 3.4.0, revision 1
  append(anchor, static_cast<uint32_t>(tables.size()));
  append(anchor, kTablesAt);
  anchor[kChecksum] = checksum(anchor);
  return anchor;
}

}  // namespace

std::optional<SmbiosFiles> smbios_files(const nacre_machine_config& config) {
  if (!config.n_smbios) return {};
  const Words words(config);
  SmbiosFiles files;
  Bytes& tables = files.tables;
  if (words.has(Type::kFirmware)) add_firmware(words, tables);
  add_system(words, tables);
  if (words.has(Type::kBoard)) add_board(words, tables);
  add_chassis(words, tables);
  for (uint32_t socket = 0; socket < config.sockets; ++socket)
    add_processor(words, config, socket, tables);
  add_memory(words, config, tables);
  Structure(Type::kBootState, kBootStateHandle).add(uint32_t{0}).add(uint16_t{0}).add(uint8_t{0}).finish(tables);
  Structure(Type::kEnd, kEndHandle).finish(tables);
  files.anchor = anchor_of(tables);
  return files;
}

sdk::Status write_smbios(const SmbiosFiles& files, const sdk::MemoryView& memory) {
  if (files.tables.size() > kTablesEnd - kTablesAt)
    return sdk::fail("-smbios: the tables take ", size_text(files.tables.size()), ", and ",
                     size_text(kTablesEnd - kTablesAt), " are there for them; use shorter texts, or fewer sockets.");
  if (!memory.write(kAnchorAt, files.anchor.data(), files.anchor.size()) ||
      !memory.write(kTablesAt, files.tables.data(), files.tables.size()))
    return sdk::fail("the memory for the SMBIOS tables is not there.");
  return {};
}

}  // namespace nacre::machine
