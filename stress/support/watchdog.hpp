// The watchdog: notices a call that does not end, and says every 5 s how far the run is.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace tidegate::stress {

class Actor;

// One for the process. A call that outlasts `limit` ends the run as a hang (75): no scenario has
// one that may, since holds are short and whoever waits is served in turn (I3, I8). Time is counted
// in the watchdog's own turns, so a machine that stands still as a whole is no hang.
class Watchdog {
 public:
  static Watchdog& instance();

  void start(std::chrono::seconds limit);
  void stop();
  std::chrono::seconds limit() const noexcept { return limit_; }

  void add(Actor& actor);
  void remove(Actor& actor);

  // What befell pools that are gone; those that live tell their acquires by `look`.
  struct Tally {
    std::uint64_t acquires = 0;
    std::uint64_t leases = 0;  // begun and ended
    std::uint64_t closes = 0;  // of pools that were in use at that moment
    Tally operator-(const Tally& before) const noexcept {
      return {acquires - before.acquires, leases - before.leases, closes - before.closes};
    }
  };
  void count(const Tally& more) noexcept {
    acquires_.fetch_add(more.acquires, std::memory_order_relaxed);
    leases_.fetch_add(more.leases, std::memory_order_relaxed);
    closes_.fetch_add(more.closes, std::memory_order_relaxed);
  }
  Tally tally() const noexcept {
    return {acquires_.load(std::memory_order_relaxed), leases_.load(std::memory_order_relaxed),
            closes_.load(std::memory_order_relaxed)};
  }

  // What the run is at: acquires so far, and a text. `look` is called on the watchdog's thread
  // until the next set_status(), as is `dump` for the report of a hang: all that is known of the
  // pool, over several lines. Neither may take a lock of a pool, which may be what hangs.
  struct Progress {
    std::uint64_t acquires;
    std::string text;
  };
  using Look = std::function<Progress()>;
  using Dump = std::function<std::string()>;
  void set_status(Look look, Dump dump = {});

 private:
  struct Watched {
    Actor* actor;
    std::uint64_t calls;
    int turns;
  };

  void run();
  void check();
  void print_progress(int seconds);
  [[noreturn]] void hang(const Watched& stuck);

  std::chrono::seconds limit_{10};
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopped_ = false;
  std::vector<Watched> watched_;
  Look look_;
  Dump dump_;
  std::atomic<std::uint64_t> acquires_{0};
  std::atomic<std::uint64_t> leases_{0};
  std::atomic<std::uint64_t> closes_{0};
  std::uint64_t acquires_shown_ = 0;  // at the last progress line
  std::thread thread_;
};

// While it lives, the progress line and the report of a hang show what `look` says.
class Status {
 public:
  explicit Status(Watchdog::Look look, Watchdog::Dump dump = {}) {
    Watchdog::instance().set_status(std::move(look), std::move(dump));
  }
  ~Status() { Watchdog::instance().set_status({}); }
  Status(const Status&) = delete;
  Status& operator=(const Status&) = delete;
};

}  // namespace tidegate::stress
