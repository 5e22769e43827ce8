// Drain: waits until the leases are back, and says who frees the core.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/test_point.hpp>
#include <tidegate/core/gate.hpp>
#include <tidegate/core/mutex.hpp>

namespace tidegate::core {

// Finds the end of a core by looking at its gates.
//
// Why no end of a drain is missed. A leaver on a closed gate first gives its admission back, then
// looks at all gates under the drain mutex; a waiter looks under that mutex, too:
//     leaver A                        leaver B                        waiter
//     one less at its gate
//                                     one less at its gate
//                                                                     looks: not zero yet; sleeps
//     mutex: looks, not zero yet
//                                     mutex: looks, zero: wakes
// The mutex puts the looks in order, and each look sees all decrements before it ([leave]), so the
// last leaver sees zero everywhere, or a count that some waiter accepts.
//
// Why the core outlives the last leaver's look: the leaver pins the core first (ref()), and unpins
// it as its very last touch. From orphan() on, an orphaned lease holds a reference of its own.
template <class Sync>
class Drain {
 public:
  // `gates` points to `count` gates, which outlive the Drain.
  Drain(const Gate<Sync>* gates, std::uint32_t count) noexcept : gates_(gates), count_(count) {}

  // True: at most `allowed` admissions are left, and no new one can come. After `closed` a gate's
  // count only falls, so the sum that is read gate by gate is never less than what is out when the
  // last gate has been read. Reading zero once on each gate thus proves zero on all.
  bool drained(std::uint32_t allowed = 0) const noexcept {
    std::uint64_t out = 0;
    for (std::uint32_t g = 0; g < count_; ++g) {
      const std::uint64_t word = gates_[g].load();
      if (!gate_word::closed(word)) return false;
      out += gate_word::leases(word);
    }
    return out <= allowed;
  }

  // Waits until drained(allowed): spins briefly, yields, parks. False: the deadline came first.
  // The wait calls `until` again after poke(), under the drain mutex; `until` must not throw.
  bool await(const std::function<Deadline()>& until, std::uint32_t allowed) noexcept {
    for (int i = 0; i < Sync::kSpins + Sync::kYields && !drained(allowed); ++i) {
      if (i >= Sync::kSpins) {
        std::this_thread::yield();
      } else {
        Sync::relax();
      }
    }
    Lock lock(mutex_);
    allowed_ = std::max(allowed_, allowed);
    while (!drained(allowed)) {
      const Deadline deadline = until();
      const auto changed = [&, seen = pokes_]() TIDEGATE_REQUIRES(mutex_) {
        return drained(allowed) || pokes_ != seen;
      };
      if (deadline.is_never()) {
        condition_.wait(lock.native(), changed);
      } else if (!condition_.wait_until(lock.native(), deadline.at(), changed)) {
        return false;
      }
    }
    return true;
  }
  void poke() noexcept {
    const Lock lock(mutex_);
    ++pokes_;
    condition_.notify_all();
  }
  // Wakes the waiters if the drain is over; to be called after a leave of a closed gate. Needs: a
  // reference.
  void look() noexcept {
    const Lock lock(mutex_);
    if (drained(allowed_)) condition_.notify_all();
  }

  // ---- references ----------------------------------------------------------------------------

  void ref() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
  // True: that was the last reference; the caller frees the core, and nobody else touches it.
  [[nodiscard]] bool unref(std::uint64_t count) noexcept {
    // Release publishes what this thread did to the core; acquire shows it what the others did.
    return refs_.fetch_sub(count, std::memory_order_acq_rel) == count;
  }
  // Turns every admission that is still out into a reference, and returns how many there are.
  // `mark(g)` marks gate g and returns its word. The bias keeps the count above zero while leavers
  // that have seen the mark give their references back. Needs: a reference; at most once.
  template <class Mark>
  std::uint32_t orphan(Mark&& mark) noexcept {
    constexpr std::uint64_t kBias = std::uint64_t{1} << 40;
    refs_.fetch_add(kBias, std::memory_order_relaxed);
    std::uint64_t out = 0;
    for (std::uint32_t g = 0; g < count_; ++g) out += gate_word::leases(mark(g));
    TIDEGATE_TEST_POINT("orphan.before_unbias");
    refs_.fetch_sub(kBias - out, std::memory_order_acq_rel);
    return static_cast<std::uint32_t>(out);
  }

 private:
  const Gate<Sync>* const gates_;
  const std::uint32_t count_;
  Mutex<typename Sync::Mutex> mutex_;
  typename Sync::Condition condition_;
  std::uint64_t pokes_ TIDEGATE_GUARDED_BY(mutex_) = 0;
  // The largest `allowed` of any waiter.
  std::uint32_t allowed_ TIDEGATE_GUARDED_BY(mutex_) = 0;
  typename Sync::template Atomic<std::uint64_t> refs_{1};
};

}  // namespace tidegate::core
