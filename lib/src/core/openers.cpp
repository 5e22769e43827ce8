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

// Whose worker this thread is, if it is an opener.
struct Here {
  Openers* openers = nullptr;
  void* worker = nullptr;
};
thread_local Here opener_here;

// Relaxed: only diagnostics read them.
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

void Doing::now(const char* what) noexcept {
  if (doing_here != nullptr) do_now(what);
}

Openers::Openers(const OpenersConfig& config, OpenerClient& client)
    : config_(config),
      client_(client),
      workers_(config.max_threads + config.max_detached + config.hook_threads) {
  std::random_device seed;
  random_.seed(seed());
  fired_.request_stop();
}

Openers::~Openers() { stop(); }

void Openers::want(std::uint32_t count) noexcept {
  bool failed = false;
  {
    const Lock lock(mutex_);
    if (stopped_) return;
    try {
      for (; count > 0; --count) start_worker();
    } catch (const std::exception&) {  // no thread, or no memory for one
      failed = true;                   // workers that run already go on taking slots
    }
  }
  for (; failed && count > 0; --count) {
    const auto slot = client_.take_to_open();
    if (!slot) return;
    client_.open_failed(*slot, OpenFailure::no_thread, std::chrono::steady_clock::now());
  }
}

void Openers::want_hook_job() noexcept {
  {
    const Lock lock(mutex_);
    try {
      if (!stopped_) return start_worker();
    } catch (const std::exception&) {  // as in want()
      // A worker in a hook job takes this one before it ends; without a worker nobody would.
      if (hook_jobs_ > 0) return;
    }
  }
  end_hook_jobs();
}

// Ends all hook jobs on the calling thread; none of them blocks, because their stop has fired.
void Openers::end_hook_jobs() noexcept {
  while (const auto slot = client_.take_hook_job()) client_.run_hook_job(*slot, fired_.get_token());
}

// Does nothing when all workers run already: each looks for more work before it ends.
void Openers::start_worker() {
  const auto running = static_cast<std::uint32_t>(std::count_if(
      workers_.begin(), workers_.end(), [](const Worker& worker) { return worker.running; }));
  if (running - detached_ >= config_.max_threads + config_.hook_threads) return;
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
  opener_here = {this, &self};
  do_now("between two tasks");
  std::shared_ptr<void> keep;  // destroyed last, because it may be all that holds `this`
  for (;;) {
    std::optional<std::uint32_t> hook_job;
    std::optional<std::uint32_t> slot;
    {
      // A worker takes work or ends in one step, so that it cannot miss a want() in between.
      const Lock lock(mutex_);
      self.thread_id = current_thread_id();
      if (hook_jobs_ < config_.hook_threads) hook_job = client_.take_hook_job();
      if (!hook_job && opening_ < config_.max_threads) slot = client_.take_to_open();
      if (!hook_job && !slot) {
        self.running = false;
        ended_.notify_all();
        if (!any_runs()) keep = std::move(keep_);
        return;
      }
      ++(hook_job ? hook_jobs_ : opening_);
    }
    Ended ended = Ended::opened;
    if (hook_job) {
      client_.run_hook_job(*hook_job, stop_hook_jobs_.get_token());
    } else {
      ended = attempt(*slot, stop_.get_token(), Deadline::never(), &self);
    }
    const Lock lock(mutex_);
    --(ended == Ended::given_up ? detached_ : hook_job ? hook_jobs_ : opening_);
    self.attempt.stage = Stage::none;
    turn_.notify_all();
  }
}

bool Openers::open_here(std::uint32_t slot, const std::stop_token& stop,
                        Deadline deadline) noexcept {
  // The thread may be an opener of another pool, but this attempt is not that pool's.
  const Here outer = std::exchange(opener_here, Here{});
  const bool opened = attempt(slot, stop, deadline, nullptr) == Ended::opened;
  opener_here = outer;
  return opened;
}

Openers::Ended Openers::attempt(std::uint32_t slot, const std::stop_token& stop, Deadline deadline,
                                Worker* self) noexcept {
  Attempt mine{.stage = Stage::opening, .slot = slot};
  std::optional<Overdue> refusal;
  {
    Lock lock(mutex_);
    mine.turn = await_turn(lock, stop, deadline);
    mine.forgotten = forgotten_;
    if (mine.turn != Turn::none && self != nullptr) refusal = refused();
    deadline = earlier(deadline, Deadline(config_.open_timeout));
    mine.began = std::chrono::steady_clock::now();
    mine.due = (deadline + config_.grace).at();
    if (self != nullptr && mine.turn != Turn::none && !refusal) self->attempt = mine;
  }
  if (mine.turn == Turn::none) {
    client_.open_failed(slot, OpenFailure::aborted, {});
    return Ended::failed;
  }
  OpenFailure failure = OpenFailure::unavailable;
  if (refusal) {
    client_.overdue(slot, *refusal);
  } else {
    TIDEGATE_TEST_POINT("open.before");
    failure = client_.open(slot, stop, deadline);
    if (!settle()) return Ended::given_up;  // whoever has given the opening up has told everybody
    TIDEGATE_TEST_POINT("open.after");
  }
  std::chrono::steady_clock::time_point next_attempt;
  {
    const Lock lock(mutex_);
    next_attempt = end_attempt(mine, failure);
  }
  if (failure == OpenFailure::none) {
    client_.opened(slot);
    return Ended::opened;
  }
  client_.open_failed(slot, failure, next_attempt);
  return Ended::failed;
}

// Returns when the next attempt may begin.
std::chrono::steady_clock::time_point Openers::end_attempt(const Attempt& attempt,
                                                           OpenFailure failure) noexcept {
  auto next_attempt = std::chrono::steady_clock::now();
  const bool outdated =
      attempt.forgotten != forgotten_;  // forget_failures() came after the attempt began
  // An attempt that began before the first failure is no probe.
  if (attempt.turn == Turn::probe && !outdated) probing_ = false;
  if (failure == OpenFailure::none) {
    backoff_ = {};
    steps_ = 0;
  } else if (failure != OpenFailure::aborted && !outdated) {
    if (backoff_.failures++ == 0) backoff_.since = next_attempt;
    // Attempts that were under way together when the server went down count as one step.
    if (steps_ > 0 && attempt.turn == Turn::free) {
      next_attempt = backoff_.next;
    } else {
      next_attempt = end_step(next_attempt);
    }
  }
  turn_.notify_all();
  return next_attempt;
}

// ---- openings that are past their time -------------------------------------------------------

void Openers::give_up_overdue(std::chrono::steady_clock::time_point now) noexcept {
  for (;;) {
    Attempt given_up;
    Overdue how;
    std::chrono::steady_clock::time_point next_attempt;
    {
      const Lock lock(mutex_);
      const auto found = std::find_if(workers_.begin(), workers_.end(), [now](const Worker& w) {
        return w.attempt.stage == Stage::opening && w.attempt.due <= now;
      });
      if (found == workers_.end()) return;
      found->attempt.stage = Stage::given_up;
      given_up = found->attempt;
      --opening_;
      ++detached_;
      how = overdue(*found);
      next_attempt = end_attempt(given_up, OpenFailure::unavailable);
    }
    client_.overdue(given_up.slot, how);
    client_.open_failed(given_up.slot, OpenFailure::unavailable, next_attempt);
  }
}

Overdue Openers::overdue(const Worker& worker) const noexcept {
  return {.in = worker.doing.load(std::memory_order_relaxed),
          .took = std::chrono::steady_clock::now() - worker.attempt.began,
          .thread_id = worker.thread_id,
          .detached = detached_};
}

// Says why no opening may begin now; nothing: one may.
std::optional<Overdue> Openers::refused() const noexcept {
  if (detached_ < config_.max_detached) return std::nullopt;
  const Worker* longest = nullptr;
  for (const Worker& worker : workers_) {
    if (worker.attempt.stage != Stage::given_up) continue;
    if (longest == nullptr || worker.attempt.began < longest->attempt.began) longest = &worker;
  }
  if (longest == nullptr) return std::nullopt;
  Overdue how = overdue(*longest);
  how.begun = false;
  return how;
}

std::uint32_t Openers::detached() const noexcept {
  const Lock lock(mutex_);
  return detached_;
}

bool Openers::settle() noexcept {
  if (opener_here.worker == nullptr) return true;
  const Lock lock(opener_here.openers->mutex_);
  Stage& stage = static_cast<Worker*>(opener_here.worker)->attempt.stage;
  if (stage == Stage::opening) stage = Stage::settled;
  return stage != Stage::given_up;
}

bool Openers::is_given_up() noexcept {
  if (opener_here.worker == nullptr) return false;
  const Lock lock(opener_here.openers->mutex_);
  return static_cast<Worker*>(opener_here.worker)->attempt.stage == Stage::given_up;
}

// Returns when the next attempt may begin, after one that failed at `failed`.
std::chrono::steady_clock::time_point Openers::end_step(
    std::chrono::steady_clock::time_point failed) noexcept {
  const double draw = std::uniform_real_distribution<double>()(random_);
  backoff_.next =
      failed + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                   policy::backoff(++steps_, config_.backoff_min, config_.backoff_max, draw));
  return backoff_.next;
}

// While attempts fail: waits for the end of the backoff step and for the one turn.
Openers::Turn Openers::await_turn(Lock<>& lock, const std::stop_token& stop,
                                  Deadline deadline) noexcept {
  while (backoff_.failures > 0) {
    if (stop.stop_requested() || deadline.passed()) return Turn::none;
    if (probing_) {
      turn_.wait_until(
          lock.native(), stop, earlier(deadline, Deadline(std::chrono::hours(1))).at(),
          [this]() TIDEGATE_REQUIRES(mutex_) { return !probing_ || backoff_.failures == 0; });
    } else if (Deadline(backoff_.next).passed()) {
      probing_ = true;
      return Turn::probe;
    } else {
      turn_.wait_until(
          lock.native(), stop, earlier(deadline, Deadline(backoff_.next)).at(),
          [this]() TIDEGATE_REQUIRES(mutex_) { return probing_ || backoff_.failures == 0; });
    }
  }
  return stop.stop_requested() ? Turn::none : Turn::free;
}

void Openers::forget_failures() noexcept {
  const Lock lock(mutex_);
  backoff_ = {};
  steps_ = 0;
  probing_ = false;
  ++forgotten_;
  turn_.notify_all();
}

Openers::Backoff Openers::backoff() const noexcept {
  const Lock lock(mutex_);
  return backoff_;
}

std::uint32_t Openers::stop_opening() noexcept {
  // Counts before the stop fires, because openings that obey it end at once; those that are settled
  // have ended already, and their workers are about to say so. Fires without the lock, because the
  // stop may call a user's code.
  std::uint32_t under_way = 0;
  {
    const Lock lock(mutex_);
    const auto settled = std::count_if(workers_.begin(), workers_.end(), [](const Worker& w) {
      return w.attempt.stage == Stage::settled;
    });
    under_way = opening_ - static_cast<std::uint32_t>(settled);
  }
  stop_.request_stop();
  return under_way;
}

bool Openers::any_runs() const noexcept {
  return std::any_of(workers_.begin(), workers_.end(), [](const Worker& w) { return w.running; });
}

bool Openers::stop(Deadline deadline) noexcept {
  stop_.request_stop();
  stop_hook_jobs_.request_stop();
  {
    Lock lock(mutex_);
    stopped_ = true;
    const auto idle = [this]() TIDEGATE_REQUIRES(mutex_) { return !any_runs(); };
    if (deadline.is_never()) {
      ended_.wait(lock.native(), idle);
    } else if (!ended_.wait_until(lock.native(), deadline.at(), idle)) {
      return false;
    }
  }
  const Lock joining(join_mutex_);
  {
    const Lock lock(mutex_);
    for (Worker& worker : workers_) {
      if (worker.thread.joinable()) worker.thread.join();  // past its last touch of mutex_
    }
  }
  end_hook_jobs();
  return true;
}

std::vector<Openers::Stuck> Openers::running() const {
  const Lock lock(mutex_);
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

void Openers::detach(std::shared_ptr<void> keep) noexcept {
  const Lock joining(join_mutex_);
  {
    const Lock lock(mutex_);
    for (Worker& worker : workers_) {
      if (worker.running && worker.thread.joinable()) worker.thread.detach();
    }
    if (any_runs()) keep_ = std::move(keep);
  }
  end_hook_jobs();
}

}  // namespace tidegate::core
