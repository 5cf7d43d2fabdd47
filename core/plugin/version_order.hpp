// Which of two versions of a plugin is the newer one.
#pragma once

#include <string_view>

namespace nacre {

// Returns less than, equal to or greater than 0 as `a` is older than, as old as or newer than `b`: the parts between
// dots count from the left, as numbers where both are, else as text; a part that is missing is 0. What stands after a
// '-' makes a version older than the same without it ("2.0-rc1" before "2.0"); what stands after a '+' does not count.
int compare_versions(std::string_view a, std::string_view b);

}  // namespace nacre
