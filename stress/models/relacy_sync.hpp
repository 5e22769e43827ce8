// RelacySync: the Sync policy by which the core itself runs inside Relacy.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <type_traits>

#include <models/relacy.hpp>
#include <tidegate/base/deadline.hpp>
#include <tidegate/core/parker.hpp>

namespace tidegate::models {

inline constexpr rl::thread_id_t kThreads = 3;

// Where an operation stands in the core, for the history of a failed run.
struct Site {
  const char* function = __builtin_FUNCTION();
  const char* file = __builtin_FILE();
  unsigned line = __builtin_LINE();
  operator rl::debug_info() const { return {function, file, line}; }
};

// Named when something of the core is touched after free_core() (I5 for the core itself).
inline void touch_core() { check(!Run::core_freed, "I5: the core is touched after it was freed"); }

// std::atomic's interface on rl::atomic.
template <class T>
class Atomic {
 public:
  Atomic() : Atomic(T{}) {}
  Atomic(T value) : word_(value) {}

  T load(std::memory_order order, Site site = {}) const {
    touch_core();
    return static_cast<T>(word_.load(of(order), site));
  }
  bool compare_exchange_weak(T& expected, T value, std::memory_order success,
                             std::memory_order failure, Site site = {}) {
    touch_core();
    Shown word = expected;
    const bool done =
        Run::exhaustive
            ? word_.compare_exchange_strong(word, value, of(success), site, of(failure), site)
            : word_.compare_exchange_weak(word, value, of(success), site, of(failure), site);
    expected = static_cast<T>(word);
    return done;
  }
  bool compare_exchange_strong(T& expected, T value, std::memory_order success,
                               std::memory_order failure, Site site = {}) {
    touch_core();
    Shown word = expected;
    const bool done =
        word_.compare_exchange_strong(word, value, of(success), site, of(failure), site);
    expected = static_cast<T>(word);
    return done;
  }
  T fetch_add(T value, std::memory_order order, Site site = {}) {
    touch_core();
    return static_cast<T>(word_.fetch_add(value, of(order), site));
  }
  T fetch_sub(T value, std::memory_order order, Site site = {}) {
    touch_core();
    return static_cast<T>(word_.fetch_sub(value, of(order), site));
  }
  T fetch_and(T value, std::memory_order order, Site site = {}) {
    touch_core();
    return static_cast<T>(word_.fetch_and(value, of(order), site));
  }
  T fetch_or(T value, std::memory_order order, Site site = {}) {
    touch_core();
    return static_cast<T>(word_.fetch_or(value, of(order), site));
  }

 private:
  // A byte would appear in a history as whatever character it is.
  using Shown = std::conditional_t<sizeof(T) == 1, unsigned, T>;

  static rl::memory_order of(std::memory_order order) {
    if (Run::sequential) return rl::mo_seq_cst;
    switch (order) {
      case std::memory_order_relaxed: return rl::mo_relaxed;
      case std::memory_order_consume: return rl::mo_consume;
      case std::memory_order_acquire: return rl::mo_acquire;
      case std::memory_order_release: return rl::mo_release;
      case std::memory_order_acq_rel: return rl::mo_acq_rel;
      case std::memory_order_seq_cst: break;
    }
    return rl::mo_seq_cst;
  }

  rl::atomic<Shown> word_;
};

class Mutex {
 public:
  void lock() {
    touch_core();
    inner.lock(RL_INFO);
  }
  void unlock() {
    touch_core();
    inner.unlock(RL_INFO);
  }

  rl::mutex inner;
};

// Wakes up for no reason now and then. A deadline may pass at any moment, or never.
class Condition {
 public:
  void notify_all() {
    touch_core();
    inner_.notify_all(RL_INFO);
  }
  template <class Done>
  void wait(std::unique_lock<Mutex>& lock, Done done) {
    while (!done()) inner_.wait(lock.mutex()->inner, RL_INFO);
  }
  template <class Done>
  bool wait_until(std::unique_lock<Mutex>& lock, std::chrono::steady_clock::time_point at,
                  Done done) {
    while (!done()) {
      // Does not tell a timeout from a wake-up for no reason, which is taken for one.
      if (inner_.wait_until(lock.mutex()->inner, at, RL_INFO)) return done();
    }
    return true;
  }

 private:
  rl::condition_variable inner_;
};

// The kernel's half of a futex: who sleeps, by address. It orders no memory.
class Futexes {
 public:
  // False: the time was up.
  bool sleep(const void* address, bool timed) {
    Queue& queue = queue_of(address);
    return queue.sleepers.park_current(rl::ctx(), timed, !Run::exhaustive, false, RL_INFO) !=
           rl::unpark_reason_timeout;
  }
  void wake(const void* address) { queue_of(address).sleepers.unpark_one(rl::ctx(), RL_INFO); }

 private:
  struct Queue {
    const void* address = nullptr;
    rl::waitset<kThreads> sleepers;
  };
  Queue& queue_of(const void* address) {
    for (Queue& queue : queues_) {
      if (queue.address == address) return queue;
    }
    for (Queue& queue : queues_) {
      if (queue.sleepers.size() == 0) {
        queue.address = address;
        return queue;
      }
    }
    check(false, "more threads sleep than there are");
    return queues_[0];
  }

  std::array<Queue, kThreads> queues_;
};

// FutexParker, line by line.
class Parker {
 public:
  std::uint32_t value() const { return word_.load(std::memory_order_acquire); }

  bool decide(std::uint32_t value) {
    std::uint32_t expected = core::kUndecided;
    return word_.compare_exchange_strong(expected, value, std::memory_order_acq_rel,
                                         std::memory_order_acquire);
  }
  void wake() { kernel->wake(&word_); }
  std::uint32_t park(Deadline deadline) {
    for (;;) {
      const std::uint32_t word = value();
      if (word != core::kUndecided) return word;
      // The kernel looks again, at the newest value, and sleeps in the same step.
      if (word_.fetch_add(0, std::memory_order_relaxed) != core::kUndecided) continue;
      if (!kernel->sleep(&word_, !deadline.is_never())) return value();
    }
  }

  static inline Futexes* kernel = nullptr;  // of the run

 private:
  Atomic<std::uint32_t> word_{core::kUndecided};
};

struct RelacySync {
  template <class T>
  using Atomic = models::Atomic<T>;
  using Mutex = models::Mutex;
  using Condition = models::Condition;
  using Parker = models::Parker;

  // The closer parks at once: what it does before that is only looking.
  static constexpr int kSpins = 0;
  static constexpr int kYields = 0;

  // Stands still: deadlines pass in park() and wait_until(), at any moment.
  static std::chrono::steady_clock::time_point now() noexcept {
    return std::chrono::steady_clock::time_point(std::chrono::hours(1));
  }
  // One gate for each thread, as far as they go round.
  static unsigned cpu() noexcept {
    return acting_as >= 0 ? static_cast<unsigned>(acting_as) : rl::thread_index();
  }
  static inline int acting_as = -1;  // a thread, on behalf of which a run is prepared
  // As the scenario has it.
  static unsigned dock_shift() noexcept { return shift; }
  static inline unsigned shift = 0;
  static void relax() noexcept {}
};

}  // namespace tidegate::models
