// A builder of AML, the byte code of ACPI's description tables (ACPI 6.4 §20.2). Each function returns one term.
#pragma once

#include <initializer_list>
#include <string_view>

#include "machines/common/bytes.hpp"

namespace nacre::machine::aml {

// A name of up to four characters, or several with dots and perhaps a backslash in front: "\\_SB.PWRB".
Bytes path(std::string_view text);
Bytes integer(uint64_t value);
Bytes string(std::string_view text);
// A PNP id such as "PNP0501", packed into an integer (ACPI 6.4 §19.3.4).
Bytes eisa_id(std::string_view id);
Bytes buffer(std::span<const uint8_t> bytes);
// At most 255 elements.
Bytes package(const std::vector<Bytes>& elements);
// A UUID such as "33db4d5b-1ff7-401c-9657-7441c03dd766" as the buffer that ToUUID() makes of it (§19.6.142).
Bytes uuid(std::string_view text);

Bytes name(std::string_view what, const Bytes& value);
Bytes scope(std::string_view where, const std::vector<Bytes>& terms);
Bytes device(std::string_view what, const std::vector<Bytes>& terms);
// A method of `arguments` arguments; serialized, as one that makes names of its own must be, or not.
Bytes method(std::string_view what, uint8_t arguments, const std::vector<Bytes>& terms, bool serialized = false);
Bytes notify(std::string_view object, uint64_t value);
Bytes notify(std::string_view object, const Bytes& value);

Bytes mutex(std::string_view name);
// Registers in memory, and names for them, one after the other from the region's begin, `width` bytes each (1, 2 or 4).
Bytes memory_region(std::string_view name, uint64_t base, uint64_t length);
Bytes field(std::string_view region, uint8_t width, const std::vector<std::string_view>& names);

// Terms of methods. `argument` and `local` are 0 to 6 and 0 to 7.
Bytes argument(uint8_t index);
Bytes local(uint8_t index);
Bytes if_(const Bytes& condition, const std::vector<Bytes>& terms);
Bytes else_(const std::vector<Bytes>& terms);  // right after its if_()
Bytes equal(const Bytes& left, const Bytes& right);
Bytes not_(const Bytes& value);
Bytes and_(const Bytes& left, const Bytes& right, const Bytes& target);
Bytes or_(const Bytes& left, const Bytes& right, const Bytes& target);
Bytes and_(const Bytes& left, const Bytes& right);  // the value alone
Bytes less(const Bytes& left, const Bytes& right);
Bytes increment(const Bytes& value);
Bytes while_(const Bytes& condition, const std::vector<Bytes>& terms);
Bytes call(std::string_view method, const std::vector<Bytes>& arguments = {});
Bytes store(const Bytes& value, const Bytes& target);
Bytes return_(const Bytes& value);
Bytes acquire(std::string_view mutex);  // waits as long as it takes
Bytes release(std::string_view mutex);
// Names the 32 bits at byte `index` of a buffer.
Bytes create_dword_field(const Bytes& buffer, uint32_t index, std::string_view name);

// Resources (ACPI 6.4 §6.4), and the buffer that a _CRS holds them in.
Bytes memory32_fixed(uint32_t base, uint32_t length);
Bytes io_ports(uint16_t base, uint8_t length);
// A consumed, exclusive interrupt: edge, active high.
Bytes interrupt(uint32_t gsi);
// What a bridge passes on to its secondary side (§6.4.3.5): the numbers first to last, or a range of memory.
Bytes bus_numbers(uint16_t first, uint16_t last);
Bytes io_window(uint16_t first, uint16_t last);
Bytes memory_window32(uint32_t base, uint32_t length);
Bytes memory_window64(uint64_t base, uint64_t length);
Bytes resource_template(const std::vector<Bytes>& resources);

}  // namespace nacre::machine::aml
