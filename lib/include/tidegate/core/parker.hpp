// Parkers: one 32-bit word that is decided exactly once, and a thread that sleeps until it is.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/core/mutex.hpp>

namespace tidegate::core {

// The contract of a Parker (FutexParker, CondvarParker, and the parkers that tests bring along):
//   decide(v)  turns the word from kUndecided to v. Exactly one call of all ever made returns true.
//   wake()     is called by the thread whose decide() won; the parker may be gone by then.
//   park(d)    owner only: sleeps until decided or d; returns the word (kUndecided = d has passed).
//   value()    returns the word.
// [decide] decide() releases, value()/park() acquire: what the decider did before is visible.
inline constexpr std::uint32_t kUndecided = 0;

// Sleeps on a futex of its own: one wake-up, one thread, absolute CLOCK_MONOTONIC deadlines.
class FutexParker {
 public:
  std::uint32_t value() const noexcept { return word_.load(std::memory_order_acquire); }

  bool decide(std::uint32_t value) noexcept {
    std::uint32_t expected = kUndecided;
    return word_.compare_exchange_strong(expected, value, std::memory_order_acq_rel,
                                         std::memory_order_acquire);
  }
  // Uses only the address and touches no memory, because the word may be gone. A stray wake-up of a
  // thread that sleeps there by then is harmless, since every futex wait looks again.
  void wake() noexcept { wake_address(&word_); }
  TIDEGATE_API std::uint32_t park(Deadline deadline) noexcept;

 private:
  TIDEGATE_API static void wake_address(std::atomic<std::uint32_t>* word) noexcept;

  std::atomic<std::uint32_t> word_{kUndecided};
};

// The portable parker: a mutex and a condition variable. Everything happens under the mutex, so
// that the owner cannot see the decision (and end the parker) while decide() still runs.
class CondvarParker {
 public:
  std::uint32_t value() const noexcept {
    const Lock lock(mutex_);
    return word_;
  }
  bool decide(std::uint32_t value) noexcept {
    const Lock lock(mutex_);
    if (word_ != kUndecided) return false;
    word_ = value;
    decided_.notify_one();
    return true;
  }
  void wake() noexcept {}
  std::uint32_t park(Deadline deadline) noexcept {
    Lock lock(mutex_);
    const auto done = [this]() TIDEGATE_REQUIRES(mutex_) { return word_ != kUndecided; };
    if (deadline.is_never()) {
      decided_.wait(lock.native(), done);
    } else {
      decided_.wait_until(lock.native(), deadline.at(), done);
    }
    return word_;
  }

 private:
  mutable Mutex<> mutex_;
  std::condition_variable decided_;
  std::uint32_t word_ TIDEGATE_GUARDED_BY(mutex_) = kUndecided;
};

}  // namespace tidegate::core
