#include "core/base/made_file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "core/base/mutex.hpp"

namespace nacre {

namespace {
struct Known {
  Mutex mutex;
  std::vector<const void*> files NACRE_GUARDED_BY(mutex);
};
// Never destroyed: a file may outlive what is static.
Known& known() {
  static Known* all = new Known;
  return *all;
}
}  // namespace

void MadeFile::Made::remove() const {
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0 && status.st_dev == device && status.st_ino == inode) ::unlink(path.c_str());
}

MadeFile::MadeFile(std::string path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return;
  made_ = std::make_unique<Made>(Made{std::move(path), status.st_dev, status.st_ino});
  Known& all = known();
  MutexLock lock(all.mutex);
  all.files.push_back(made_.get());
}

MadeFile::~MadeFile() {
  if (!made_) return;
  Known& all = known();
  MutexLock lock(all.mutex);
  std::erase(all.files, made_.get());
  made_->remove();
}

void MadeFile::remove_all() {
  Known& all = known();
  MutexLock lock(all.mutex);
  for (const void* file : all.files) static_cast<const Made*>(file)->remove();
}

}  // namespace nacre
