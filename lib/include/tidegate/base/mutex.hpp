// Mutex and Lock: the standard's, with annotations that tell the compiler what they guard.
//
// clang checks the annotations (-Wthread-safety; an error in the preset tsan-clang):
//   TIDEGATE_GUARDED_BY(m)  this member is touched under m only
//   TIDEGATE_REQUIRES(m)    the caller of this function (or lambda) holds m
//   TIDEGATE_EXCLUDES(m)    the caller does not hold m: the function takes it
//   TIDEGATE_RELEASES(m)    the caller holds m, but no longer when the function returns
//   TIDEGATE_UNCHECKED      clang does not check; a comment says why that is right
// Other compilers ignore the annotations. Constructors and destructors are never checked.
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

// `M` is std::mutex, or the mutex type of a Sync.
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

// Holds the mutex for as long as it lives, except between unlock() and lock().
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
  // From here on the mutex is locked by hand: the function that gets it locked must unlock it.
  void let_go() noexcept { lock_.release(); }
  // For a condition variable. Its predicate runs with the mutex held: annotate the lambda so.
  std::unique_lock<M>& native() noexcept { return lock_; }

 private:
  std::unique_lock<M> lock_;
};

}  // namespace tidegate::detail
