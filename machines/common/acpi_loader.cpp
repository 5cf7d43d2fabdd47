#include "machines/common/acpi_loader.hpp"

#include "machines/common/acpi_table.hpp"

namespace nacre::machine {
namespace {

// Entries of 128 bytes: a command, its arguments, zeroes.
class Script {
 public:
  enum Zone : uint8_t { kHigh = 1, kSegmentF = 2 };

  void allocate(std::string_view file, uint32_t alignment, Zone zone) {
    begin(1);
    name(file);
    append(bytes_, alignment);
    append(bytes_, uint8_t{zone});
    end();
  }
  // Adds the address of `source` to the number of `width` bytes at `offset` of `file`.
  void add_pointer(std::string_view file, std::string_view source, uint64_t offset, uint8_t width) {
    begin(2);
    name(file);
    name(source);
    append(bytes_, static_cast<uint32_t>(offset));
    append(bytes_, width);
    end();
  }
  // Puts the checksum of [start, start + length) at `offset`, where a zero is now.
  void add_checksum(std::string_view file, uint64_t offset, uint64_t start, uint64_t length) {
    begin(3);
    name(file);
    append(bytes_, static_cast<uint32_t>(offset));
    append(bytes_, static_cast<uint32_t>(start));
    append(bytes_, static_cast<uint32_t>(length));
    end();
  }
  Bytes take() { return std::move(bytes_); }

 private:
  static constexpr size_t kEntry = 128, kName = 56;
  void begin(uint32_t command) { append(bytes_, command); }
  void name(std::string_view file) { append_text(bytes_, file, kName, '\0'); }
  void end() { bytes_.resize((bytes_.size() + kEntry - 1) / kEntry * kEntry); }

  Bytes bytes_;
};

constexpr size_t kChecksum = 9;  // in every table's header

}  // namespace

AcpiFiles acpi_files(const AcpiMachine& machine) {
  AcpiFiles files;
  Script script;
  script.allocate(AcpiFiles::kRoot, 16, Script::kSegmentF);
  script.allocate(AcpiFiles::kTables, 64, Script::kHigh);
  auto place = [&](const Bytes& table) {
    files.tables.resize((files.tables.size() + 15) & ~size_t{15});
    const uint64_t at = files.tables.size();
    files.tables.insert(files.tables.end(), table.begin(), table.end());
    return at;
  };
  // A table with numbers at `pointers` that are to be addresses.
  auto relocate = [&](uint64_t at, uint64_t length, std::initializer_list<std::pair<uint64_t, uint8_t>> pointers) {
    for (const auto& [offset, width] : pointers)
      script.add_pointer(AcpiFiles::kTables, AcpiFiles::kTables, at + offset, width);
    files.tables[at + kChecksum] = 0;
    script.add_checksum(AcpiFiles::kTables, at + kChecksum, at, length);
  };
  // First, since it is aligned as all of the tables are (ACPI 6.4 §5.2.10).
  const uint64_t facs = machine.fixed ? place(acpi_facs()) : 0;
  const uint64_t dsdt = place(acpi_dsdt(machine));
  const Bytes fadt_bytes = acpi_fadt(machine, dsdt, facs);
  const uint64_t fadt = place(fadt_bytes);
  if (machine.fixed) script.add_pointer(AcpiFiles::kTables, AcpiFiles::kTables, fadt + kFadtFacs, 4);
  relocate(fadt, fadt_bytes.size(), {{kFadtDsdt, 4}, {kFadtXDsdt, 8}});
  std::vector<uint64_t> tables = {fadt};
  for (const Bytes& table : acpi_other_tables(machine)) tables.push_back(place(table));
  const Bytes xsdt_bytes = acpi_xsdt(machine.name, tables);
  const uint64_t xsdt = place(xsdt_bytes);
  for (size_t i = 0; i < tables.size(); ++i)
    script.add_pointer(AcpiFiles::kTables, AcpiFiles::kTables, xsdt + kAcpiHeaderSize + 8 * i, 8);
  relocate(xsdt, xsdt_bytes.size(), {});

  files.root = acpi_rsdp(xsdt);
  files.root[kRsdpChecksum] = files.root[kRsdpExtendedChecksum] = 0;
  script.add_pointer(AcpiFiles::kRoot, AcpiFiles::kTables, kRsdpXsdt, 8);
  script.add_checksum(AcpiFiles::kRoot, kRsdpChecksum, 0, 20);
  script.add_checksum(AcpiFiles::kRoot, kRsdpExtendedChecksum, 0, files.root.size());
  files.script = script.take();
  return files;
}

}  // namespace nacre::machine
