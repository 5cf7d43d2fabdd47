#include "core/backend/random_sources.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "core/base/suggest.hpp"

namespace nacre {

Status RandomSources::add(const std::string& id, const std::string& filename) {
  for (auto& [known, fd] : sources_)
    if (known == id) return fail("Object {} has been added; give each object an id of its own.", id);
  // Looked at before it is opened: opening a pipe waits, and a file's type says more than the failure to read it.
  struct stat info {};
  if (::stat(filename.c_str(), &info) < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return fail("The path of random file {} is not existed", filename);
    return fail("The random file {} cannot be used: {}.", filename, strerror(errno));
  }
  if (!S_ISCHR(info.st_mode)) return fail("The type of random file {} is not a character special file", filename);
  Fd fd(::open(filename.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return fail("The random file {} cannot be opened for reading: {}.", filename, strerror(errno));
  sources_.emplace_back(id, std::move(fd));
  return {};
}

Result<int> RandomSources::find(const std::string& id) const {
  std::vector<std::string> ids;
  for (auto& [known, fd] : sources_) {
    if (known == id) return fd.get();
    ids.push_back(known);
  }
  return fail("there is no random source '{}'; add one with -object rng-random,id={}.{}", id, id,
              did_you_mean(id, ids));
}

}  // namespace nacre
