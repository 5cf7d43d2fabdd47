#include "fetcher.hpp"

#include <nacre/log.hpp>

namespace http_disk {

Fetcher::Fetcher(HttpClient& client, nacre_instance* instance, nacre_loop* loop, nacre_callback wake, void* opaque)
    : client_(client), instance_(instance), loop_(loop), wake_(wake), opaque_(opaque), thread_([this] { run(); }) {}

Fetcher::~Fetcher() {
  {
    nacre::sdk::MutexLock lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Fetcher::submit(Job& job) {
  {
    nacre::sdk::MutexLock lock(mutex_);
    waiting_.push_back(&job);
  }
  changed_.notify_one();
}

std::vector<Job*> Fetcher::take_done() {
  nacre::sdk::MutexLock lock(mutex_);
  return std::exchange(done_, {});
}

void Fetcher::run() {
  nacre::sdk::MutexLock lock(mutex_);
  for (;;) {
    while (!ending_ && waiting_.empty()) changed_.wait(lock);
    if (ending_) return;
    Job* job = waiting_.front();
    waiting_.pop_front();
    lock.unlock();
    const nacre::sdk::Status read = client_.read(job->offset, job->length, job->to);
    if (!read) nacre::sdk::log(instance_, NACRE_LOG_WARN, "a read has failed: ", read.error().message);
    job->good = static_cast<bool>(read);
    lock.lock();
    done_.push_back(job);
    // One call for all that is done until it comes. [any] It is dropped when the device is gone by then.
    if (done_.size() == 1) nacre::sdk::host.loop->post(loop_, wake_, opaque_);
  }
}

}  // namespace http_disk
