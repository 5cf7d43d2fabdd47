#include "core/vm/passed_fds.hpp"

#include <algorithm>
#include <vector>

#include "core/base/suggest.hpp"

namespace nacre {

int PassedFds::find(const std::string& name) const {
  auto found = fds_.find(name);
  return found == fds_.end() ? -1 : found->second.get();
}

Error PassedFds::unknown(std::string_view key, const std::string& word) const {
  std::vector<std::string> names;
  for (auto& [name, unused] : fds_) names.push_back(name);
  return fail("{}: '{}' is neither the number of a descriptor nor the name of one that getfd has passed.{}", key, word,
              did_you_mean(word, names));
}

Result<std::string> PassedFds::in_numbers(std::string_view key, std::string_view words) const {
  std::string numbers;
  for (std::string_view rest = words;;) {
    const std::string word(rest.substr(0, rest.find(':')));
    const int fd = find(word);
    const bool is_number =
        !word.empty() && std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (fd < 0 && !is_number) return unknown(key, word);
    numbers += fd >= 0 ? std::to_string(fd) : word;
    if (word.size() == rest.size()) return numbers;
    numbers += ':';
    rest.remove_prefix(word.size() + 1);
  }
}

void PassedFds::forget(int fd) {
  for (auto entry = fds_.begin(); entry != fds_.end(); ++entry) {
    if (entry->second.get() != fd) continue;
    (void)entry->second.release();
    fds_.erase(entry);
    return;
  }
}

}  // namespace nacre
