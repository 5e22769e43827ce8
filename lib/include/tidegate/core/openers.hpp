// Openers: threads that make resources on demand, and back off while making fails.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/core/mutex.hpp>
#include <tidegate/core/slot_pool.hpp>

namespace tidegate::core {

// What an opener does at the moment, for diagnostics. As long as it lives the calling thread is in
// `what`, a literal; does nothing on other threads.
class TIDEGATE_API Doing {
 public:
  explicit Doing(const char* what) noexcept;
  ~Doing();
  Doing(const Doing&) = delete;
  Doing& operator=(const Doing&) = delete;

  // The innermost Doing of the calling thread is in `what` from here on.
  static void now(const char* what) noexcept;

 private:
  const char* outer_;
};

struct OpenersConfig {
  std::uint32_t max_threads = 1;
  std::uint32_t hook_threads = 0;  // more of them, for hook jobs: an opening may take its time
  std::uint32_t max_detached = 4;  // and those in openings that were given up
  std::chrono::nanoseconds open_timeout{std::chrono::seconds(10)};
  // How long after that an opening may still take: to end what it has made and is not to keep.
  std::chrono::nanoseconds grace{std::chrono::milliseconds(1500)};
  std::chrono::nanoseconds backoff_min{std::chrono::milliseconds(100)};
  std::chrono::nanoseconds backoff_max{std::chrono::seconds(10)};
};

// An opening that is not to be waited for: it has begun, and is past its time; or it has not,
// because as many threads as may be are in openings of that kind.
struct Overdue {
  bool begun = true;
  // Of the thread that is in it, or of the one that has been so for longest: in what (see Doing),
  // since when its opening is under way, and its id.
  const char* in = nullptr;
  std::chrono::steady_clock::duration took{};
  long thread_id = 0;
  std::uint32_t detached = 0;  // how many there are now
};

// What the openers work on. Called on opener threads; may block until `stop` fires.
class OpenerClient {
 public:
  virtual std::optional<std::uint32_t> take_to_open() noexcept = 0;
  // Makes the resource of `slot` (not published yet): none = made. Must return soon after a stop.
  // Touches nothing of the slot once it is made, unless Openers::settle() says true.
  virtual OpenFailure open(std::uint32_t slot, const std::stop_token& stop,
                           Deadline deadline) noexcept = 0;
  // The opening of `slot` is not waited for any more; open_failed() comes next. On the thread that
  // calls give_up_overdue(), or an opener that has not begun with it.
  virtual void overdue(std::uint32_t, const Overdue&) noexcept {}
  virtual void opened(std::uint32_t slot) noexcept = 0;
  virtual void open_failed(std::uint32_t slot, OpenFailure why,
                           std::chrono::steady_clock::time_point next_attempt) noexcept = 0;
  // The next hook job, if there is one; run_hook_job() ends it, at once when `stop` has fired.
  virtual std::optional<std::uint32_t> take_hook_job() noexcept { return std::nullopt; }
  virtual void run_hook_job(std::uint32_t, const std::stop_token&) noexcept {}

 protected:
  ~OpenerClient() = default;
};

// At most max_threads threads, started when there is something to open, gone when there is not; and
// hook_threads more while there are hook jobs, so that neither waits for the other. All signals are
// blocked in them.
//
// While opening fails there is one attempt at a time, and the next one begins only when its
// (full-jitter, exponential) backoff step is over: however many wait, the server sees one attempt
// per step (I13). A success ends that at once.
//
// A thread that does not come back from an opening keeps neither its slot nor its turn: past its
// time the opening is given up, and is a failure. At most max_detached threads are left so; then
// every opening fails, until one of them returns. Whose the slot is, is decided once, under
// the mutex:
//     opener                          who gives up
//     has made a resource
//     settle(): true
//                                     finds it settled: leaves it alone
//     opened(): publishes it
// or
//                                     finds it past its time: given up
//                                     frees the slot
//     has made a resource
//     settle(): false
//     ends it; touches no slot
// Walked by OpenersOverdue.AnOpeningThatEndsJustBeforeItIsGivenUpKeepsItsSlot and ...JustAfter....
class TIDEGATE_API Openers {
 public:
  // `client` outlives stop().
  Openers(const OpenersConfig& config, OpenerClient& client);
  ~Openers();
  Openers(const Openers&) = delete;
  Openers& operator=(const Openers&) = delete;

  // There are `count` more slots to take. Where no thread can be created they fail as no_thread.
  void want(std::uint32_t count) noexcept;
  // There is a hook job to take. Where no thread can be created it is done here, with its stop
  // fired.
  void want_hook_job() noexcept;
  // Aborts the openings that are under way, and later ones; hook jobs go on. Does not wait. Returns
  // how many were under way.
  std::uint32_t stop_opening() noexcept;
  // Aborts what is under way and joins all threads; later wants are ignored. Any thread but an
  // opener, also several at once: each returns when the threads are gone, or at the deadline. True:
  // they are gone.
  bool stop(Deadline deadline = Deadline::never()) noexcept;
  // Those that run, and in what.
  struct Stuck {
    const char* in = nullptr;
    std::chrono::steady_clock::time_point since{};
    long thread_id = 0;
  };
  std::vector<Stuck> running() const;
  // After a stop() in vain: does not wait any more for those that run. `keep` is what all they
  // touch belongs to; the last of them lets go of it.
  void detach(std::shared_ptr<void> keep) noexcept;
  // Runs one attempt, backoff step included, on the calling thread; false = it failed.
  bool open_here(std::uint32_t slot, const std::stop_token& stop, Deadline deadline) noexcept;
  // Gives up the openings that are past their time at `now`. One thread at a time; not an opener.
  void give_up_overdue(std::chrono::steady_clock::time_point now) noexcept;
  // Threads of those that have not returned yet.
  std::uint32_t detached() const noexcept;
  // Whether the opening that the calling thread works on still has its slot. From settle() on it
  // keeps that, or not; any number of calls. True on other threads.
  static bool settle() noexcept;
  static bool is_given_up() noexcept;
  // Forgets the failures so far, and those to come of attempts that are under way: the next attempt
  // is made at once.
  void forget_failures() noexcept;

  // When the next attempt may begin, and how many have failed in a row.
  struct Backoff {
    std::uint32_t failures = 0;
    std::chrono::steady_clock::time_point since{};  // of the first of them
    std::chrono::steady_clock::time_point next{};
  };
  Backoff backoff() const noexcept;

 private:
  enum class Turn : std::uint8_t { none, free, probe };
  enum class Stage : std::uint8_t { none, opening, settled, given_up };
  // How an opening began, and how it stands.
  struct Attempt {
    Stage stage = Stage::none;
    std::uint32_t slot = 0;
    Turn turn = Turn::none;
    std::uint64_t forgotten = 0;
    std::chrono::steady_clock::time_point began{};
    std::chrono::steady_clock::time_point due{};
  };
  struct Worker {
    std::thread thread;
    bool running = false;  // false with a joinable thread: it is on its way out
    Attempt attempt{};     // of those that are watched: not one on somebody else's thread
    long thread_id = 0;
    std::atomic<const char*> doing{nullptr};
    std::atomic<std::int64_t> since{0};  // steady ns; relaxed, as `doing`: diagnostics
  };
  friend class Doing;

  void start_worker() TIDEGATE_REQUIRES(mutex_);
  void run(Worker& self) noexcept TIDEGATE_EXCLUDES(mutex_);
  bool any_runs() const noexcept TIDEGATE_REQUIRES(mutex_);
  enum class Ended : std::uint8_t { opened, failed, given_up };
  Ended attempt(std::uint32_t slot, const std::stop_token& stop, Deadline deadline,
                Worker* self) noexcept;
  void end_hook_jobs() noexcept TIDEGATE_EXCLUDES(mutex_);
  std::optional<Overdue> refused() const noexcept TIDEGATE_REQUIRES(mutex_);
  Overdue overdue(const Worker& worker) const noexcept TIDEGATE_REQUIRES(mutex_);
  std::chrono::steady_clock::time_point end_attempt(const Attempt& attempt,
                                                    OpenFailure failure) noexcept
      TIDEGATE_REQUIRES(mutex_);
  std::chrono::steady_clock::time_point end_step(
      std::chrono::steady_clock::time_point failed) noexcept TIDEGATE_REQUIRES(mutex_);
  Turn await_turn(Lock<>& lock, const std::stop_token& stop, Deadline deadline) noexcept
      TIDEGATE_REQUIRES(mutex_);

  const OpenersConfig config_;
  OpenerClient& client_;
  std::stop_source stop_;
  std::stop_source stop_hook_jobs_;
  std::stop_source fired_;  // stopped from the beginning; made then, because the end cannot fail
  mutable Mutex<> mutex_;
  std::condition_variable_any turn_;
  std::vector<Worker> workers_ TIDEGATE_GUARDED_BY(mutex_);
  std::condition_variable ended_;                           // one of them did
  std::shared_ptr<void> keep_ TIDEGATE_GUARDED_BY(mutex_);  // see detach()
  bool stopped_ TIDEGATE_GUARDED_BY(mutex_) = false;
  std::uint32_t opening_ TIDEGATE_GUARDED_BY(mutex_) = 0;
  std::uint32_t hook_jobs_ TIDEGATE_GUARDED_BY(mutex_) = 0;
  // Threads of openings that were given up; not in opening_.
  std::uint32_t detached_ TIDEGATE_GUARDED_BY(mutex_) = 0;
  // With failures: somebody makes the one attempt.
  bool probing_ TIDEGATE_GUARDED_BY(mutex_) = false;
  Backoff backoff_ TIDEGATE_GUARDED_BY(mutex_);
  std::uint32_t steps_ TIDEGATE_GUARDED_BY(mutex_) = 0;      // of the backoff so far
  std::uint64_t forgotten_ TIDEGATE_GUARDED_BY(mutex_) = 0;  // calls of forget_failures()
  std::minstd_rand random_ TIDEGATE_GUARDED_BY(mutex_);

  Mutex<> join_mutex_;  // of stop()
};

}  // namespace tidegate::core
