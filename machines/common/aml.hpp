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
Bytes package(std::initializer_list<Bytes> elements);

Bytes name(std::string_view what, const Bytes& value);
Bytes scope(std::string_view where, const std::vector<Bytes>& terms);
Bytes device(std::string_view what, const std::vector<Bytes>& terms);
// A method of `arguments` arguments, not serialized.
Bytes method(std::string_view what, uint8_t arguments, const std::vector<Bytes>& terms);
Bytes notify(std::string_view object, uint64_t value);

// Resources (ACPI 6.4 §6.4), and the buffer that a _CRS holds them in.
Bytes memory32_fixed(uint32_t base, uint32_t length);
Bytes io_ports(uint16_t base, uint8_t length);
// A consumed, exclusive interrupt: edge, active high.
Bytes interrupt(uint32_t gsi);
Bytes resource_template(std::initializer_list<Bytes> resources);

}  // namespace nacre::machine::aml
