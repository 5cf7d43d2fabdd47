// Locks that clang's thread-safety analysis understands: which lock guards what is said in the declaration, and an access
// without it does not compile. Other compilers read the same words as nothing.
//
//   sdk::Mutex mutex_;
//   std::vector<int> queue_ NACRE_GUARDED_BY(mutex_);
//   void settle() NACRE_REQUIRES(mutex_);   // to be called with the lock held
//   void post(int) NACRE_EXCLUDES(mutex_);  // takes it: not to be called with it held
//
// Where the analysis is on: `clang++ -Wthread-safety`. It looks at one function at a time and takes a lambda for a
// function of its own, so that conditions are waited for in a loop and not by a predicate. Constructors and destructors
// are not looked at.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define NACRE_THREAD_SAFETY(attribute) __attribute__((attribute))
#else
#define NACRE_THREAD_SAFETY(attribute)
#endif

// Of a class: it is a lock; its objects hold a lock as long as they live.
#define NACRE_CAPABILITY(name) NACRE_THREAD_SAFETY(capability(name))
#define NACRE_SCOPED_CAPABILITY NACRE_THREAD_SAFETY(scoped_lockable)
// Of a variable: it is used with the lock held; what it points at is.
#define NACRE_GUARDED_BY(mutex) NACRE_THREAD_SAFETY(guarded_by(mutex))
#define NACRE_PT_GUARDED_BY(mutex) NACRE_THREAD_SAFETY(pt_guarded_by(mutex))
// Of a function: called with the locks held, without them; takes them, gives them back, takes them if it returns `result`.
#define NACRE_REQUIRES(...) NACRE_THREAD_SAFETY(requires_capability(__VA_ARGS__))
#define NACRE_EXCLUDES(...) NACRE_THREAD_SAFETY(locks_excluded(__VA_ARGS__))
#define NACRE_ACQUIRE(...) NACRE_THREAD_SAFETY(acquire_capability(__VA_ARGS__))
#define NACRE_RELEASE(...) NACRE_THREAD_SAFETY(release_capability(__VA_ARGS__))
#define NACRE_TRY_ACQUIRE(...) NACRE_THREAD_SAFETY(try_acquire_capability(__VA_ARGS__))
// From here on the analysis takes the lock for held: a callback that is called by whoever holds it.
#define NACRE_ASSERT_CAPABILITY(...) NACRE_THREAD_SAFETY(assert_capability(__VA_ARGS__))
// A function that the analysis cannot follow; beside it stands why it is right.
#define NACRE_NO_THREAD_SAFETY_ANALYSIS NACRE_THREAD_SAFETY(no_thread_safety_analysis)

namespace nacre::sdk {

// [any] std::mutex, with the words that the analysis needs. Neither recursive nor fair.
class NACRE_CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() NACRE_ACQUIRE() { native_.lock(); }
  void unlock() NACRE_RELEASE() { native_.unlock(); }
  bool try_lock() NACRE_TRY_ACQUIRE(true) { return native_.try_lock(); }
  // To the analysis alone: whoever calls this function holds it, in a way that its caller's caller has seen to.
  void assert_held() const NACRE_ASSERT_CAPABILITY() {}

 private:
  friend class MutexLock;
  std::mutex native_;
};

// Holds a mutex to the end of the scope, but between unlock() and lock().
class NACRE_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) NACRE_ACQUIRE(mutex) : lock_(mutex.native_) {}
  ~MutexLock() NACRE_RELEASE() = default;
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

  void lock() NACRE_ACQUIRE() { lock_.lock(); }
  void unlock() NACRE_RELEASE() { lock_.unlock(); }

 private:
  friend class Condition;
  std::unique_lock<std::mutex> lock_;
};

// What threads wait for that hold a mutex, in a loop around what they wait for: `while (!ready_) changed_.wait(lock);`
class Condition {
 public:
  // [any] Gives the lock back while it waits, and holds it again on return; that comes also without a reason.
  void wait(MutexLock& lock) { native_.wait(lock.lock_); }
  // The same; false when the time has come first.
  template <typename Clock, typename Duration>
  bool wait_until(MutexLock& lock, const std::chrono::time_point<Clock, Duration>& end) {
    return native_.wait_until(lock.lock_, end) == std::cv_status::no_timeout;
  }
  void notify_one() noexcept { native_.notify_one(); }
  void notify_all() noexcept { native_.notify_all(); }

 private:
  std::condition_variable native_;
};

}  // namespace nacre::sdk
