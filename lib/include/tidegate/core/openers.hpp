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

// Says what an opener does at the moment, for diagnostics: while a Doing lives, the calling thread
// is in `what`, a literal. On a thread that is no opener it does nothing.
class TIDEGATE_API Doing {
 public:
  explicit Doing(const char* what) noexcept;
  ~Doing();
  Doing(const Doing&) = delete;
  Doing& operator=(const Doing&) = delete;

  // From here on the innermost Doing of the calling thread says `what`.
  static void now(const char* what) noexcept;

 private:
  const char* outer_;
};

struct OpenersConfig {
  std::uint32_t max_threads = 1;
  std::uint32_t hook_threads = 0;  // extra threads for hook jobs, because an opening may take long
  std::uint32_t max_detached = 4;  // extra threads to replace those stuck in given-up openings
  std::chrono::nanoseconds open_timeout{std::chrono::seconds(10)};
  // How much longer than open_timeout an opening may take, to end a resource that it may not keep.
  std::chrono::nanoseconds grace{std::chrono::milliseconds(1500)};
  std::chrono::nanoseconds backoff_min{std::chrono::milliseconds(100)};
  std::chrono::nanoseconds backoff_max{std::chrono::seconds(10)};
};

// An opening that nobody waits for any more. Either it has begun and is past its time, or it has
// not begun, because max_detached threads are stuck in openings already.
struct Overdue {
  bool begun = true;
  // Of the thread in that opening, or, if it has not begun, of the thread that has been stuck for
  // longest: what it is in (see Doing), how long its opening has taken, and its id.
  const char* in = nullptr;
  std::chrono::steady_clock::duration took{};
  long thread_id = 0;
  std::uint32_t detached = 0;  // how many threads are detached now
};

// What the openers work for. Opener threads call it; a call may block until its `stop` fires.
class OpenerClient {
 public:
  virtual std::optional<std::uint32_t> take_to_open() noexcept = 0;
  // Makes the resource of `slot`, which is not published yet; none = made. Must return soon after a
  // stop. Once the resource is made, touches the slot only if Openers::settle() says true.
  virtual OpenFailure open(std::uint32_t slot, const std::stop_token& stop,
                           Deadline deadline) noexcept = 0;
  // Nobody waits for the opening of `slot` any more; open_failed() comes next. Runs on the thread
  // that calls give_up_overdue(), or on an opener that may not begin the opening.
  virtual void overdue(std::uint32_t, const Overdue&) noexcept {}
  virtual void opened(std::uint32_t slot) noexcept = 0;
  virtual void open_failed(std::uint32_t slot, OpenFailure why,
                           std::chrono::steady_clock::time_point next_attempt) noexcept = 0;
  // Takes the next hook job, if any. run_hook_job() ends it, at once if `stop` has fired.
  virtual std::optional<std::uint32_t> take_hook_job() noexcept { return std::nullopt; }
  virtual void run_hook_job(std::uint32_t, const std::stop_token&) noexcept {}

 protected:
  ~OpenerClient() = default;
};

// At most max_threads threads, which start when there is something to open and end when there is
// not; and hook_threads more while there are hook jobs, so that openings and hook jobs do not wait
// for each other. The threads block all signals.
//
// While openings fail there is one attempt at a time, and the next attempt begins only when its
// (full-jitter, exponential) backoff step is over: the server sees one attempt per step, however
// many threads wait (I13). A success ends the backoff at once.
//
// A thread that does not come back from an opening keeps neither its slot nor its turn: once its
// time is over, the opening is given up and counts as a failure. At most max_detached threads may
// be stuck so; from then on every opening fails, until one of them returns. Who owns the slot is
// decided once, under the mutex:
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

  // `count` more slots can be taken. If no thread can be created, their openings fail as no_thread.
  void want(std::uint32_t count) noexcept;
  // A hook job can be taken. If no thread can be created, the caller runs it, with its stop fired.
  void want_hook_job() noexcept;
  // Aborts the openings that are under way, and later ones; hook jobs go on. Does not wait. Returns
  // how many were under way.
  std::uint32_t stop_opening() noexcept;
  // Aborts what is under way, joins all threads, and ignores later wants. Any thread except an
  // opener may call it, also several at once; each call returns when the threads are gone, or at
  // the deadline. True: the threads are gone.
  bool stop(Deadline deadline = Deadline::never()) noexcept;
  // The threads that run, and what each of them is in.
  struct Stuck {
    const char* in = nullptr;
    std::chrono::steady_clock::time_point since{};
    long thread_id = 0;
  };
  std::vector<Stuck> running() const;
  // After a stop() that returned false: ends the wait for the threads that still run. `keep` owns
  // everything that they touch; the last of them lets go of it.
  void detach(std::shared_ptr<void> keep) noexcept;
  // Runs one attempt, backoff step included, on the calling thread; false = it failed.
  bool open_here(std::uint32_t slot, const std::stop_token& stop, Deadline deadline) noexcept;
  // Gives up the openings that are past their time at `now`. One thread at a time; not an opener.
  void give_up_overdue(std::chrono::steady_clock::time_point now) noexcept;
  // How many threads are in openings that were given up, and have not returned yet.
  std::uint32_t detached() const noexcept;
  // Whether the opening that the calling thread works on still owns its slot. settle() decides that
  // for good, and may be called again. On threads that are no openers it returns true.
  static bool settle() noexcept;
  static bool is_given_up() noexcept;
  // Forgets the failures so far, and later failures of attempts that are under way now, so that the
  // next attempt begins at once.
  void forget_failures() noexcept;

  // When the next attempt may begin, and how many have failed in a row.
  struct Backoff {
    std::uint32_t failures = 0;
    std::chrono::steady_clock::time_point since{};  // of the first failure
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
    bool running = false;  // false with a joinable thread: the thread is ending
    Attempt attempt{};     // give_up_overdue() watches it; open_here() has none
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
  std::stop_source fired_;  // stopped in the constructor, because stop() must not fail
  mutable Mutex<> mutex_;
  std::condition_variable_any turn_;
  std::vector<Worker> workers_ TIDEGATE_GUARDED_BY(mutex_);
  std::condition_variable ended_;                           // a worker has ended
  std::shared_ptr<void> keep_ TIDEGATE_GUARDED_BY(mutex_);  // see detach()
  bool stopped_ TIDEGATE_GUARDED_BY(mutex_) = false;
  std::uint32_t opening_ TIDEGATE_GUARDED_BY(mutex_) = 0;
  std::uint32_t hook_jobs_ TIDEGATE_GUARDED_BY(mutex_) = 0;
  // Threads in openings that were given up; opening_ does not count them.
  std::uint32_t detached_ TIDEGATE_GUARDED_BY(mutex_) = 0;
  // While attempts fail: a thread makes the one attempt.
  bool probing_ TIDEGATE_GUARDED_BY(mutex_) = false;
  Backoff backoff_ TIDEGATE_GUARDED_BY(mutex_);
  std::uint32_t steps_ TIDEGATE_GUARDED_BY(mutex_) = 0;      // of this backoff
  std::uint64_t forgotten_ TIDEGATE_GUARDED_BY(mutex_) = 0;  // calls of forget_failures()
  std::minstd_rand random_ TIDEGATE_GUARDED_BY(mutex_);

  Mutex<> join_mutex_;  // of stop()
};

}  // namespace tidegate::core
