#include <tidegate/core/openers.hpp>

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <exception>
#include <utility>

#include <tidegate/base/test_point.hpp>
#include <tidegate/core/policy.hpp>
#include <tidegate/core/sync.hpp>
#include <tidegate/core/thread.hpp>

namespace tidegate::core {

namespace {

thread_local std::atomic<const char*>* doing_here = nullptr;
thread_local std::atomic<std::int64_t>* since_here = nullptr;

// Relaxed: each is for somebody who looks on.
void do_now(const char* what) noexcept {
  since_here->store(std::chrono::steady_clock::now().time_since_epoch().count(),
                    std::memory_order_relaxed);
  doing_here->store(what, std::memory_order_relaxed);
}

}  // namespace

Doing::Doing(const char* what) noexcept : outer_(nullptr) {
  if (doing_here == nullptr) return;
  outer_ = doing_here->load(std::memory_order_relaxed);
  do_now(what);
}

Doing::~Doing() {
  if (doing_here != nullptr) do_now(outer_);
}

Openers::Openers(const OpenersConfig& config, OpenerClient& client)
    : config_(config), client_(client), workers_(config.max_threads + config.chore_threads) {
  std::random_device seed;
  random_.seed(seed());
  fired_.request_stop();
}

Openers::~Openers() { stop(); }

void Openers::want(std::uint32_t count) noexcept {
  bool failed = false;
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    try {
      for (; count > 0; --count) start_worker();
    } catch (const std::exception&) {  // no thread, or no memory for one
      failed = true;                   // those that run already go on taking slots
    }
  }
  for (; failed && count > 0; --count) {
    const auto slot = client_.take_to_open();
    if (!slot) return;
    client_.open_failed(*slot, OpenFailure::no_thread, std::chrono::steady_clock::now());
  }
}

void Openers::want_chore() noexcept {
  {
    std::lock_guard lock(mutex_);
    try {
      if (!stopped_) return start_worker();
    } catch (const std::exception&) {  // as in want()
      // A worker that runs takes it before it ends; without one it would be left behind.
      if (chores_ > 0) return;
    }
  }
  end_chores();
}

// On the calling thread, and none of them blocks.
void Openers::end_chores() noexcept {
  while (const auto slot = client_.take_chore()) client_.do_chore(*slot, fired_.get_token());
}

// Needs mutex_. Does nothing when all workers are busy: they look for more before they end.
void Openers::start_worker() {
  for (Worker& worker : workers_) {
    if (worker.running) continue;
    if (worker.thread.joinable()) worker.thread.join();  // past its last touch of mutex_
    worker.thread = start_thread("tidegate-open", [this, &worker] { run(worker); });
    worker.running = true;
    return;
  }
}

void Openers::run(Worker& self) noexcept {
  doing_here = &self.doing;
  since_here = &self.since;
  do_now("between two tasks");
  std::shared_ptr<void> keep;  // goes last: it may be all that holds `this`
  for (;;) {
    std::optional<std::uint32_t> chore;
    std::optional<std::uint32_t> slot;
    {
      // Taking and ending are one step, so that a want() in between cannot be missed.
      std::lock_guard lock(mutex_);
      self.thread_id = current_thread_id();
      if (chores_ < config_.chore_threads) chore = client_.take_chore();
      if (!chore && opening_ < config_.max_threads) slot = client_.take_to_open();
      if (!chore && !slot) {
        self.running = false;
        ended_.notify_all();
        if (!any_runs()) keep = std::move(keep_);
        return;
      }
      ++(chore ? chores_ : opening_);
    }
    if (chore) {
      client_.do_chore(*chore, stop_chores_.get_token());
    } else {
      attempt(*slot, stop_.get_token(), Deadline::never());
    }
    std::lock_guard lock(mutex_);
    --(chore ? chores_ : opening_);
    turn_.notify_all();
  }
}

bool Openers::open_here(std::uint32_t slot, const std::stop_token& stop,
                        Deadline deadline) noexcept {
  return attempt(slot, stop, deadline);
}

bool Openers::attempt(std::uint32_t slot, const std::stop_token& stop, Deadline deadline) noexcept {
  Turn turn{};
  std::uint64_t resets = 0;
  {
    std::unique_lock lock(mutex_);
    turn = await_turn(lock, stop, deadline);
    resets = resets_;
  }
  if (turn == Turn::none) {
    client_.open_failed(slot, OpenFailure::aborted, {});
    return false;
  }
  TIDEGATE_TEST_POINT("open.before");
  const OpenFailure failure =
      client_.open(slot, stop, earlier(deadline, Deadline(config_.open_timeout)));
  TIDEGATE_TEST_POINT("open.after");

  auto next_attempt = std::chrono::steady_clock::now();
  {
    std::lock_guard lock(mutex_);
    const bool outdated = resets != resets_;  // how it failed has been forgotten in advance
    // Not one that began before the first failure.
    if (turn == Turn::probe && !outdated) probing_ = false;
    if (failure == OpenFailure::none) {
      backoff_ = {};
      steps_ = 0;
    } else if (failure != OpenFailure::aborted && !outdated) {
      if (backoff_.failures++ == 0) backoff_.since = next_attempt;
      // Attempts that were under way together, when the server went, are one step.
      if (steps_ > 0 && turn == Turn::free) {
        next_attempt = backoff_.next;
      } else {
        next_attempt = end_step(next_attempt);
      }
    }
    turn_.notify_all();
  }
  if (failure == OpenFailure::none) {
    client_.opened(slot);
    return true;
  }
  client_.open_failed(slot, failure, next_attempt);
  return false;
}

// Needs mutex_. Returns when the next attempt may begin, after one that failed at `failed`.
std::chrono::steady_clock::time_point Openers::end_step(
    std::chrono::steady_clock::time_point failed) noexcept {
  const double draw = std::uniform_real_distribution<double>()(random_);
  backoff_.next =
      failed + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                   policy::backoff(++steps_, config_.backoff_min, config_.backoff_max, draw));
  return backoff_.next;
}

// While attempts fail: waits for the end of the backoff step and for the one turn.
Openers::Turn Openers::await_turn(std::unique_lock<std::mutex>& lock, const std::stop_token& stop,
                                  Deadline deadline) noexcept {
  while (backoff_.failures > 0) {
    if (stop.stop_requested() || deadline.passed()) return Turn::none;
    if (probing_) {
      turn_.wait_until(lock, stop, earlier(deadline, Deadline(std::chrono::hours(1))).at(),
                       [this] { return !probing_ || backoff_.failures == 0; });
    } else if (Deadline(backoff_.next).passed()) {
      probing_ = true;
      return Turn::probe;
    } else {
      turn_.wait_until(lock, stop, earlier(deadline, Deadline(backoff_.next)).at(),
                       [this] { return probing_ || backoff_.failures == 0; });
    }
  }
  return stop.stop_requested() ? Turn::none : Turn::free;
}

void Openers::reset_backoff() noexcept {
  std::lock_guard lock(mutex_);
  backoff_ = {};
  steps_ = 0;
  probing_ = false;
  ++resets_;
  turn_.notify_all();
}

Openers::Backoff Openers::backoff() const noexcept {
  std::lock_guard lock(mutex_);
  return backoff_;
}

std::uint32_t Openers::stop_opening() noexcept {
  stop_.request_stop();
  std::lock_guard lock(mutex_);
  return opening_;
}

bool Openers::any_runs() const noexcept {
  return std::any_of(workers_.begin(), workers_.end(), [](const Worker& w) { return w.running; });
}

bool Openers::stop(Deadline deadline) noexcept {
  stop_.request_stop();
  stop_chores_.request_stop();
  {
    std::unique_lock lock(mutex_);
    stopped_ = true;
    const auto idle = [this] { return !any_runs(); };
    if (deadline.is_never()) {
      ended_.wait(lock, idle);
    } else if (!ended_.wait_until(lock, deadline.at(), idle)) {
      return false;
    }
  }
  std::lock_guard joining(join_mutex_);
  for (Worker& worker : workers_) {
    if (worker.thread.joinable()) worker.thread.join();
  }
  end_chores();
  return true;
}

std::vector<Openers::Stuck> Openers::running() const {
  std::lock_guard lock(mutex_);
  std::vector<Stuck> all;
  for (const Worker& worker : workers_) {
    if (!worker.running) continue;
    const std::chrono::steady_clock::duration since(worker.since.load(std::memory_order_relaxed));
    all.push_back({.in = worker.doing.load(std::memory_order_relaxed),
                   .since = std::chrono::steady_clock::time_point(since),
                   .thread_id = worker.thread_id});
  }
  return all;
}

void Openers::leave_behind(std::shared_ptr<void> keep) noexcept {
  std::lock_guard joining(join_mutex_);
  {
    std::lock_guard lock(mutex_);
    for (Worker& worker : workers_) {
      if (worker.running && worker.thread.joinable()) worker.thread.detach();
    }
    if (any_runs()) keep_ = std::move(keep);
  }
  end_chores();
}

}  // namespace tidegate::core
