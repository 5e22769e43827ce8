// ManualSync: the core on a clock that stands still until a test moves it on.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include <support/rendezvous.hpp>
#include <tidegate/base/deadline.hpp>
#include <tidegate/base/mutex.hpp>
#include <tidegate/core/sync.hpp>

namespace tidegate::test {

// One for the whole program. Begins far in the future, so that nothing it says has passed on the
// real clock.
class ManualClock {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  static TimePoint now() noexcept {
    std::lock_guard lock(mutex_);
    return now_;
  }
  static void advance(std::chrono::nanoseconds by) {
    std::lock_guard lock(mutex_);
    now_ += by;
    changed_.notify_all();
  }
  // Returns when exactly `count` threads sleep on something that has neither come nor expired.
  static void await_sleepers(std::size_t count) {
    std::unique_lock lock(mutex_);
    const auto there = [&] {
      return count == static_cast<std::size_t>(
                          std::count_if(sleepers_.begin(), sleepers_.end(), [](const Sleeper* s) {
                            return !*s->awake &&
                                   (s->deadline.is_never() || now_ < s->deadline.at());
                          }));
    };
    if (!changed_.wait_for(lock, patience(), there))
      give_up("threads to sleep on the manual clock");
  }

 private:
  friend class ManualParker;
  friend class ManualCondition;

  struct Sleeper {
    Deadline deadline;
    const bool* awake;
  };
  // Under the mutex: sleeps until `awake` or the deadline.
  static void sleep(std::unique_lock<std::mutex>& lock, Deadline deadline, const bool& awake) {
    Sleeper self{deadline, &awake};
    sleepers_.push_back(&self);
    changed_.notify_all();
    changed_.wait(lock, [&] { return awake || (!deadline.is_never() && now_ >= deadline.at()); });
    std::erase(sleepers_, &self);
  }

  inline static std::mutex mutex_;
  inline static std::condition_variable changed_;
  inline static std::vector<Sleeper*> sleepers_;
  inline static TimePoint now_{std::chrono::hours(24 * 365 * 100)};
};

class ManualParker {
 public:
  std::uint32_t value() const noexcept {
    std::lock_guard lock(ManualClock::mutex_);
    return word_;
  }
  bool decide(std::uint32_t value) noexcept {
    std::lock_guard lock(ManualClock::mutex_);
    if (decided_) return false;
    decided_ = true;
    word_ = value;
    ManualClock::changed_.notify_all();
    return true;
  }
  void wake() noexcept {}
  std::uint32_t park(Deadline deadline) noexcept {
    std::unique_lock lock(ManualClock::mutex_);
    if (!decided_) ManualClock::sleep(lock, deadline, decided_);
    return word_;
  }

 private:
  bool decided_ = false;
  std::uint32_t word_ = core::kUndecided;
};

// What the closer sleeps on.
class ManualCondition {
 public:
  void notify_all() noexcept {
    std::lock_guard lock(ManualClock::mutex_);
    for (bool* flag : waiting_) *flag = true;
    ManualClock::changed_.notify_all();
  }
  // Unchecked: which mutex `outer` holds only the caller knows, and `done` says that it needs it.
  template <class Condition>
  void wait(std::unique_lock<std::mutex>& outer, Condition done) TIDEGATE_UNCHECKED {
    wait_until(outer, ManualClock::TimePoint::max(), done);
  }
  template <class Condition>
  bool wait_until(std::unique_lock<std::mutex>& outer, ManualClock::TimePoint at,
                  Condition done) TIDEGATE_UNCHECKED {
    const Deadline deadline(at);
    while (!done()) {
      {
        std::unique_lock lock(ManualClock::mutex_);
        if (!deadline.is_never() && ManualClock::now_ >= at) return false;
        bool notified = false;
        waiting_.push_back(&notified);
        outer.unlock();  // notify_all() needs the clock's mutex: none is missed
        ManualClock::sleep(lock, deadline, notified);
        std::erase(waiting_, &notified);
      }
      outer.lock();
    }
    return true;
  }

 private:
  std::vector<bool*> waiting_;
};

// Lets a test say on which processor, and so at which gate, the calling thread is. One slot alone
// may dock there, so that the next release goes the long way; see WideSync.
template <class Base>
struct OnGate : Base {
  static constexpr unsigned dock_shift() noexcept { return 0; }
  static unsigned cpu() noexcept { return gate_of_thread(); }
  static unsigned& gate_of_thread() noexcept {
    static thread_local unsigned gate = 0;
    return gate;
  }
};

struct ManualBase : core::StdSync {
  using Condition = ManualCondition;
  using Parker = ManualParker;
  static std::chrono::steady_clock::time_point now() noexcept { return ManualClock::now(); }
};
using ManualSync = OnGate<ManualBase>;

}  // namespace tidegate::test
