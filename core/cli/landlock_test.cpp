#include "core/cli/landlock.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "core/loop/io_thread.hpp"
#include "gtest/gtest.h"

namespace nacre::cli {
namespace {

// What opening the file to read comes to: 0, or the error.
int open_error(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return fd ? 0 : errno;
}

// In a process of its own, since it is for good: 0, or the number of what is wrong.
int restrict_and_look(const std::string& open, const std::string& closed) {
  Result<std::unique_ptr<IoThread>> thread = IoThread::start("io");
  if (!thread) return 1;
  const std::vector<OpenPath> paths = {{open, false}};
  Result<Landlock> landlock = Landlock::prepare(paths, {});
  if (!landlock) return 2;
  EventLoop* loop = &(*thread)->loop();
  if (open_error(closed)) return 3;
  if (!landlock->restrict({&loop, 1})) return 4;
  if (open_error(open + "/file") || open_error(closed) != EACCES) return 5;
  int there = 0;
  loop->call([&] { there = open_error(open + "/file") || open_error(closed) != EACCES ? 6 : 0; });
  return there;
}

// Threads that were there before the main thread was restricted are not its children.
TEST(LandlockTest, RestrictsThreadsThatAreThere) {
  const std::string folder = std::filesystem::temp_directory_path() / ("landlock_test-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder + "/open");
  std::ofstream(folder + "/open/file") << "x";
  std::ofstream(folder + "/closed") << "x";
  const pid_t child = ::fork();
  if (child == 0) ::_exit(restrict_and_look(folder + "/open", folder + "/closed"));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 0);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace nacre::cli
