#include "core/backend/char_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "core/backend/char_stream.hpp"
#include "core/base/log.hpp"
#include "core/base/output_file.hpp"

namespace nacre {

namespace {

// No input, nothing to wait for.
class OutputOnly : public Chardev {
 public:
  using Chardev::Chardev;

 protected:
  Status start() override {
    connect();
    return {};
  }
  void stop() override {}
  size_t read_some(char*, size_t) override { return 0; }
};

class CharFile : public OutputOnly {
 public:
  CharFile(const std::string& id, std::string path, Fd fd)
      : OutputOnly(id), path_(std::move(path)), fd_(std::move(fd)) {}
  ~CharFile() override { detach(); }
  std::string filename() const override { return "file:" + path_; }

 protected:
  ssize_t write_some(const char* data, size_t length) override {
    ssize_t written = write_available(fd_.get(), data, length);
    if (written < 0 && !std::exchange(failed_, true))
      log::error("chardev", "chardev '{}': cannot write to '{}': {}; its output is lost from here on.", id(), path_,
                 strerror(errno));
    return written;
  }

 private:
  std::string path_;
  Fd fd_;
  bool failed_ = false;
};

class CharNull : public OutputOnly {
 public:
  using OutputOnly::OutputOnly;
  ~CharNull() override { detach(); }
  std::string filename() const override { return "null"; }

 protected:
  // Never connected: what is written ends in write().
  Status start() override { return {}; }
  ssize_t write_some(const char*, size_t) override { return -1; }
};

class CharLog : public OutputOnly {
 public:
  using OutputOnly::OutputOnly;
  ~CharLog() override {
    detach();
    if (!line_.empty()) log::info(id(), "{}", line_);
  }
  std::string filename() const override { return "log"; }

 protected:
  ssize_t write_some(const char* data, size_t length) override {
    for (char c : std::string_view(data, length)) {
      if (c != '\n' && c != '\r' && line_.size() < kLongest) {
        // A guest cannot write what a terminal that shows the log would obey.
        line_ += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
      } else if (!line_.empty() && c != '\r') {
        log::info(id(), "{}", line_);
        line_.clear();
      }
    }
    return static_cast<ssize_t>(length);
  }

 private:
  static constexpr size_t kLongest = 4096;
  std::string line_;
};

}  // namespace

Result<std::unique_ptr<Chardev>> open_char_file(const std::string& id, const std::string& path) {
  int error = 0;
  Result<Fd> fd = open_output_file(path, O_NOCTTY | O_NONBLOCK, 0600, Links::ToDevices, error);
  if (error == ENXIO)
    return fail("chardev '{}': nobody reads from '{}' (a FIFO or a socket); a file chardev writes to a file.", id,
                path);
  if (!fd) return fail("chardev '{}': cannot open {}.", id, fd.error().message);
  // Only now that it is known to be a file of ours. What is no regular file has no length.
  struct stat status {};
  if (::fstat(fd->get(), &status) == 0 && S_ISREG(status.st_mode) && ::ftruncate(fd->get(), 0) != 0)
    return fail("chardev '{}': cannot empty '{}': {}.", id, path, strerror(errno));
  return std::unique_ptr<Chardev>(new CharFile(id, path, std::move(*fd)));
}

std::unique_ptr<Chardev> open_char_null(const std::string& id) {
  return std::make_unique<CharNull>(id);
}
std::unique_ptr<Chardev> open_char_log(const std::string& id) {
  return std::make_unique<CharLog>(id);
}

}  // namespace nacre
