// How single values are written, wherever a user writes them. Nothing when the text is no such value.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace nacre {

// on true yes 1, off false no 0.
std::optional<bool> parse_switch(std::string_view text);

// With 0x hexadecimal, else of that base.
std::optional<uint64_t> parse_number(std::string_view text, int base = 10);

// "512", "512B", "4K", "1M", "2G", "0x1000": bytes.
std::optional<uint64_t> parse_size(std::string_view text);

// Six pairs of hexadecimal digits, of a station: the lowest bit of the first byte is a group's (IEEE 802 §8.2.2).
std::optional<uint64_t> parse_mac(std::string_view text);

// slot[.function], hexadecimal as everywhere in PCI, with or without 0x: slot * 8 + function.
std::optional<uint8_t> parse_pci_address(std::string_view text);

}  // namespace nacre
