// Mutex and Lock: the standard's, with what they guard told to the compiler.
//
// clang checks it (-Wthread-safety; the preset tsan-clang makes an error of it):
//   TIDEGATE_GUARDED_BY(m)  this member is touched under m only
//   TIDEGATE_REQUIRES(m)    the caller of this function (or lambda) holds m
//   TIDEGATE_EXCLUDES(m)    the caller does not: the function takes it
//   TIDEGATE_RELEASES(m)    the caller holds m, and not any more when the function returns
//   TIDEGATE_UNCHECKED      not looked at; a comment says why that is right
// Other compilers see nothing of it. Constructors and destructors are never checked.
#pragma once

#include <mutex>

#if defined(__clang__)
#define TIDEGATE_THREAD_SAFETY(attribute) __attribute__((attribute))
#else
#define TIDEGATE_THREAD_SAFETY(attribute)
#endif

#define TIDEGATE_GUARDED_BY(mutex) TIDEGATE_THREAD_SAFETY(guarded_by(mutex))
#define TIDEGATE_REQUIRES(mutex) TIDEGATE_THREAD_SAFETY(requires_capability(mutex))
#define TIDEGATE_EXCLUDES(mutex) TIDEGATE_THREAD_SAFETY(locks_excluded(mutex))
#define TIDEGATE_RELEASES(mutex) TIDEGATE_THREAD_SAFETY(release_capability(mutex))
#define TIDEGATE_UNCHECKED TIDEGATE_THREAD_SAFETY(no_thread_safety_analysis)

namespace tidegate::detail {

// `M` is std::mutex, or what a Sync brings along.
template <class M = std::mutex>
class TIDEGATE_THREAD_SAFETY(capability("mutex")) Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() TIDEGATE_THREAD_SAFETY(acquire_capability()) { mutex_.lock(); }
  void unlock() TIDEGATE_THREAD_SAFETY(release_capability()) { mutex_.unlock(); }

 private:
  template <class>
  friend class Lock;

  M mutex_;
};

// Holds the mutex for as long as it lives, but for what is between unlock() and lock().
template <class M = std::mutex>
class TIDEGATE_THREAD_SAFETY(scoped_lockable) [[nodiscard]] Lock {
 public:
  explicit Lock(Mutex<M>& mutex) TIDEGATE_THREAD_SAFETY(acquire_capability(mutex))
      : lock_(mutex.mutex_) {}
  ~Lock() TIDEGATE_THREAD_SAFETY(release_capability()) {}
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  void lock() TIDEGATE_THREAD_SAFETY(acquire_capability()) { lock_.lock(); }
  void unlock() TIDEGATE_THREAD_SAFETY(release_capability()) { lock_.unlock(); }
  // From here on the mutex is locked by hand, and unlocked by whoever is called with it.
  void let_go() noexcept { lock_.release(); }
  // For a condition variable. What that calls holds the mutex: say so of the lambda.
  std::unique_lock<M>& native() noexcept { return lock_; }

 private:
  std::unique_lock<M> lock_;
};

}  // namespace tidegate::detail
