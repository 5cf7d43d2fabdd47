// The nearest right name for a wrong one.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace nacre {

// Returns the candidate nearest to `word` by edit distance (insert, delete, replace, swap neighbours), or an empty
// string when none is near enough to be what was meant (more than a third of the word, at least 1, at most 4 edits).
std::string nearest(std::string_view word, std::span<const std::string> candidates);

// Returns " Did you mean 'x'?" for the nearest candidate, or an empty string: made to be appended to a sentence.
std::string did_you_mean(std::string_view word, std::span<const std::string> candidates);

}  // namespace nacre
