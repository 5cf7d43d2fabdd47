#include "core/plugin/version_order.hpp"

#include <algorithm>

namespace nacre {
namespace {

std::string_view take_part(std::string_view& rest) {
  const size_t dot = rest.find('.');
  const std::string_view part = rest.substr(0, dot);
  rest.remove_prefix(dot == std::string_view::npos ? rest.size() : dot + 1);
  return part;
}

bool is_number(std::string_view part) {
  return std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Numbers of any length: without leading zeros, the longer one is larger.
int compare_numbers(std::string_view a, std::string_view b) {
  a.remove_prefix(std::min(a.find_first_not_of('0'), a.size()));
  b.remove_prefix(std::min(b.find_first_not_of('0'), b.size()));
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return a.compare(b);
}

int compare_parts(std::string_view a, std::string_view b) {
  while (!a.empty() || !b.empty()) {
    const std::string_view mine = take_part(a), other = take_part(b);
    if (int order = is_number(mine) && is_number(other) ? compare_numbers(mine, other) : mine.compare(other))
      return order;
  }
  return 0;
}

// What stands before the first of `mark`; the rest, with the mark, stays in `version`.
std::string_view take_until(std::string_view& version, char mark) {
  const size_t at = std::min(version.find(mark), version.size());
  const std::string_view head = version.substr(0, at);
  version.remove_prefix(at);
  return head;
}

}  // namespace

int compare_versions(std::string_view a, std::string_view b) {
  a = take_until(a, '+');
  b = take_until(b, '+');
  if (int order = compare_parts(take_until(a, '-'), take_until(b, '-'))) return order;
  // What is left is "" or begins with the '-'.
  if (a.empty() || b.empty()) return static_cast<int>(a.empty()) - static_cast<int>(b.empty());
  return compare_parts(a.substr(1), b.substr(1));
}

}  // namespace nacre
