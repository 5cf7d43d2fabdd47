#include "core/vm/end_limit.hpp"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "core/base/log.hpp"
#include "core/base/made_file.hpp"

namespace nacre {

EndLimit::EndLimit(const Disks& disks) {
  for (const auto& [id, disk] : disks.all()) disks_.push_back(disk.backend);
  if (disks_.empty()) return;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    thread_ = std::thread([this] { watch(); });
  } catch (const std::system_error&) {
    log::warn("vm", "no thread is to be had: the end waits for the disks, however long they take.");
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

EndLimit::~EndLimit() {
  {
    MutexLock lock(mutex_);  // held by one that gives up: the process ends there
    done_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

std::vector<uint32_t> EndLimit::under_way() const {
  std::vector<uint32_t> counts;
  for (const auto& disk : disks_) {
    const auto backend = disk.lock();
    counts.push_back(backend ? backend->under_way() : 0);
  }
  return counts;
}

// A disk that answers, however slowly, is waited for.
void EndLimit::watch() {
  pthread_setname_np(pthread_self(), "end limit");
  using Clock = std::chrono::steady_clock;
  MutexLock lock(mutex_);
  std::vector<uint32_t> last = under_way();
  for (auto since = Clock::now(); !done_;) {
    (void)changed_.wait_until(lock, Clock::now() + std::chrono::milliseconds(200));
    if (done_) return;
    std::vector<uint32_t> now = under_way();
    const bool nothing = std::all_of(now.begin(), now.end(), [](uint32_t n) { return n == 0; });
    if (nothing || now != last) {
      last = std::move(now);
      since = Clock::now();
    } else if (Clock::now() - since >= kPatience) {
      give_up();
    }
  }
}

void EndLimit::give_up() const {
  for (const auto& disk : disks_) {
    const auto backend = disk.lock();
    if (!backend || backend->under_way() == 0) continue;
    const BlockOptions& options = backend->options();
    log::error("vm",
               "drive '{}': '{}' has answered none of {} requests under way for {} s; the machine ends without them: "
               "what the guest has written there since its last flush may be lost.",
               options.id, options.driver.empty() ? options.file : options.driver, backend->under_way(),
               kPatience.count());
  }
  MadeFile::remove_all();
  ::_exit(1);
}

}  // namespace nacre
