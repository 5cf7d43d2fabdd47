// Text from clients, made fit for sentences; errors, made fit for clients.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace nacre::qmp {

// True when `text` is UTF-8 without surrogates and over-long forms (RFC 3629 §4).
bool is_utf8(std::string_view text);

// `text` with every byte that is not part of valid UTF-8 as '?'.
std::string made_utf8(std::string_view text);

// The first 64 bytes of valid UTF-8, never half a character, with "..." when that is not all.
std::string clipped(std::string_view text);

// did_you_mean(), but none for words that no name comes near: a client may send a megabyte of them.
std::string suggestion(std::string_view word, std::span<const std::string> candidates);

}  // namespace nacre::qmp
