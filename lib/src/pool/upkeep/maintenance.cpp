#include "pool/upkeep/maintenance.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include <tidegate/base/test_point.hpp>
#include <tidegate/core/policy.hpp>
#include <tidegate/core/thread.hpp>

#include "pool/events.hpp"
#include "pool/freeze_mark.hpp"
#include "pool/hook_scope.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::detail {
namespace {

using namespace std::chrono_literals;
using core::Errand;
using core::Retired;

constexpr auto kTickPeriod = 10ms;
// Once the pool is closed nobody acquires any more, so the work of a tick can wait.
constexpr auto kTickOfClosed = 100ms;
// How long the slot of a connection that did not answer a ping waits for the server's end.
std::chrono::nanoseconds patience_with_silent(const PoolConfig& config) {
  return std::min<std::chrono::nanoseconds>(Termination::kPatience, config.ping_timeout / 20);
}
// Steady churn must not make the housekeeping permanent, nor the looks at all idle connections.
constexpr auto kAtMostEvery = 100ms;

}  // namespace

Maintenance::Maintenance(const PoolConfig& config, PoolCore& core, const PoolImpl& pool,
                         std::function<void()> on_close_wanted)
    : config_(config),
      core_(core),
      pool_(pool),
      on_close_wanted_(std::move(on_close_wanted)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      resets_(config, core),
      leaks_(config, core),
      round_(config_, core),
      reaper_(config_, core) {
  if (!wake_) throw std::system_error(errno, std::generic_category(), "tidegate: eventfd");
  terminations_.reserve(config_.max_size);
  pinging_.reserve(config_.max_size);
  polled_.reserve(std::size_t{config_.max_size} + 1);
  thread_ = core::start_thread("tidegate-keep", [this] { run(); });
}

void Maintenance::wake() noexcept {
  // EAGAIN: the counter is full, so the thread is awake anyway.
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

void Maintenance::hurry() noexcept {
  hurry_.store(true, std::memory_order_relaxed);  // relaxed: the eventfd orders it well enough
  wake();
}

// On the maintenance thread itself, a wake would make it try again at once, without end.
void Maintenance::no_thread() noexcept {
  refill_at_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);  // as above
  if (core::current_thread_id() != thread_id()) wake();
}

void Maintenance::stop_refilling() noexcept {
  refills_.store(false, std::memory_order_relaxed);
  core_.slots().end_floor();
}

void Maintenance::refill_at(Clock::time_point next_attempt) noexcept {
  refill_at_.store(next_attempt.time_since_epoch().count(), std::memory_order_relaxed);  // as above
  wake();
}

void Maintenance::suspect() noexcept {
  suspect_.store(true, std::memory_order_relaxed);  // as above
  wake();
}

void Maintenance::await_pass(Deadline deadline) noexcept {
  Lock lock(pass_mutex_);
  const std::uint64_t seen = passes_;
  ++awaiting_pass_;
  const Deadline until = earlier(deadline, Deadline(1s));  // a stopped thread makes no pass
  passed_.wait_until(lock.native(), until.at(),
                     [&]() TIDEGATE_REQUIRES(pass_mutex_) { return passes_ != seen; });
  --awaiting_pass_;
}

void Maintenance::want_close() noexcept {
  // release: the closer reads the request. The eventfd orders nothing if the thread is awake.
  close_wanted_.store(true, std::memory_order_release);
  wake();
}

void Maintenance::stop_soon(Deadline deadline) noexcept {
  stop_at_.store(deadline.at().time_since_epoch().count(), std::memory_order_relaxed);
  stopping_.store(true, std::memory_order_release);
  wake();
}

bool Maintenance::stop(Deadline deadline, Deadline give_up) noexcept {
  stop_soon(deadline);
  Lock lock(pass_mutex_);
  return passed_.wait_until(lock.native(), give_up.at(),
                            [this]() TIDEGATE_REQUIRES(pass_mutex_) { return ended_; });
}

void Maintenance::join() noexcept {
  if (!thread_.joinable()) return;
  if (!stopping_.load(std::memory_order_relaxed)) {
    stop_at_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
    stopping_.store(true, std::memory_order_release);
  }
  wake();
  thread_.join();
}

void Maintenance::detach(std::shared_ptr<void> keep) noexcept {
  const Lock lock(pass_mutex_);
  if (!thread_.joinable()) return;
  if (!ended_) keep_ = std::move(keep);
  thread_.detach();
}

// ---- the loop --------------------------------------------------------------------------------

void Maintenance::run() noexcept {
  thread_id_.store(core::current_thread_id(), std::memory_order_relaxed);
  FreezeMark::find_out();
  std::shared_ptr<void> keep;  // destroyed last: it may be the only owner of `this`
  {
    const InHook scope(pool_);  // an observer that closes the pool here would wait for itself
    loop();
  }
  const Lock lock(pass_mutex_);
  ended_ = true;
  passed_.notify_all();
  keep = std::move(keep_);
}

void Maintenance::loop() noexcept {
  TIDEGATE_TEST_POINT("maintenance.begin");
  next_housekeeping_ = Clock::now();
  round_.begin(next_housekeeping_);
  reaper_.begin(next_housekeeping_);
  for (;;) {
    const auto now = Clock::now();
    keep_time(now);
    take_work();
    step_terminations();
    step_pings();
    step_resets();
    leaks_.look(now);
    TIDEGATE_TEST_POINT("maintenance.pass");  // this pass has read all it will of the pool's words
    if (stopping_.load(std::memory_order_acquire)) {
      const Deadline until{
          Clock::time_point(Clock::duration(stop_at_.load(std::memory_order_relaxed)))};
      // Every server has been told to terminate. Close does not wait for a server process that is
      // slow to go.
      const bool done =
          core_.slots().retiring() == terminations_.size() && core_.slots().places().checking == 0;
      if (done || until.passed()) return finish_rest();
    } else {
      // acquire: pairs with want_close()
      if (close_wanted_.exchange(false, std::memory_order_acquire)) on_close_wanted_();
      if (now >= next_look_ && suspect_.exchange(false, std::memory_order_relaxed)) {
        next_look_ = now + kAtMostEvery;
        look_at_all_idle();
      }
      if (now >= next_housekeeping_ || hurry_.exchange(false, std::memory_order_relaxed))
        do_housekeeping(now);
      keep_floor(now);
      refill_after_backoff();
      go_on_with_round(now);
    }
    {
      const Lock lock(pass_mutex_);
      ++passes_;
      if (awaiting_pass_ > 0) passed_.notify_all();
    }
    if (!wait()) return finish_rest();
  }
}

void Maintenance::take_work() noexcept {
  if (config_.hooks.before_close) core_.start_hook_jobs();
  while (const auto slot = core_.slots().take_to_retire()) {
    begin_termination(*slot);
  }
  while (const auto slot = core_.slots().take_to_check()) {
    switch (core_.slots().slot(*slot).errand()) {
      case Errand::reset: resets_.take(*slot); break;
      case Errand::after_release: core_.want_hook_job(*slot); break;
      default: {
        const auto asked = std::exchange(core_.resource(*slot).pinged_for_ms, std::uint16_t{0});
        begin_ping(*slot, false, Clock::now() - std::chrono::milliseconds(asked));
        break;
      }
    }
  }
}

// A failed opening leaves its slot empty, and only waiters get a new opening at once. The openers
// keep it to one attempt per backoff step (I13).
void Maintenance::refill_after_backoff() noexcept {
  const Clock::rep at = refill_at_.exchange(0, std::memory_order_relaxed);
  if (at == 0) return;
  const Clock::time_point next_attempt{Clock::duration(at)};
  next_housekeeping_ =
      std::min(next_housekeeping_, std::max(next_attempt, last_housekeeping_ + kAtMostEvery));
}

// Sleeps until a server says something, somebody wakes this thread, or the next thing is due.
// False: polling does not work.
bool Maintenance::wait() noexcept {
  polled_.clear();
  polled_.push_back({wake_.get(), POLLIN, 0});
  const Deadline idle_until = earlier(Deadline(next_housekeeping_), Deadline(round_.next()));
  const auto period = core_.slots().closed() ? kTickOfClosed : kTickPeriod;
  Deadline next = anything_open_ ? Deadline(period) : idle_until;
  // The housekeeping does not run any more: its due times must keep nobody awake.
  if (stopping_.load(std::memory_order_relaxed)) next = Deadline(kTickPeriod);
  for (const Termination& termination : terminations_) {
    polled_.push_back({termination.socket(), POLLIN, 0});  // poll() ignores a negative one
    next = earlier(next, termination.deadline());
  }
  for (const Ping& ping : pinging_) {
    polled_.push_back({pq::PoolAccess(core_.resource(ping.slot).connection).socket(), POLLIN, 0});
    next = earlier(next, ping.deadline);
  }
  next = earlier(next, resets_.add_polled(polled_));
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next.remaining());
  const int timeout = static_cast<int>(std::min<std::int64_t>(left.count(), 60'000));
  if (::poll(polled_.data(), polled_.size(), timeout) < 0 && errno != EINTR && errno != ENOMEM) {
    return false;
  }
  if (polled_.front().revents != 0) {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t size = ::read(wake_.get(), &count, sizeof count);
  }
  return true;
}

// ---- state machines --------------------------------------------------------------------------

void Maintenance::begin_termination(std::uint32_t slot) noexcept {
  PooledConnection& pooled = core_.resource(slot);
  core_.slots().slot(slot).set_errand(Errand::termination);
  tell(config_.observer, [&](Observer& o) {
    o.retired({.reason = to_string(core_.why_retired(slot)),
               .backend_pid = pooled.monitor.backend_pid()});
  });
  // An acquirer that waits for the slot must not wait for the server, too: a network that has
  // forgotten the connection never brings the end of the session.
  const bool silent = core_.why_retired(slot) == Retired::ping && pooled.connection.is_open();
  terminations_.emplace_back(
      slot, pooled, Deadline(silent ? patience_with_silent(config_) : Termination::kPatience));
}

void Maintenance::step_terminations() noexcept {
  std::erase_if(terminations_, [this](const Termination& termination) {
    const Termination::Progress progress = termination.step();
    if (progress == Termination::Progress::pending) return false;
    if (progress == Termination::Progress::abandoned)
      abandoned_.fetch_add(1, std::memory_order_relaxed);
    core_.finish(termination.slot());
    return true;
  });
}

// The slot is in `checking`, and belongs to maintenance.
void Maintenance::begin_ping(std::uint32_t slot, bool of_round, Clock::time_point since) noexcept {
  core_.slots().slot(slot).set_errand(Errand::ping);
  pings_.fetch_add(1, std::memory_order_relaxed);
  tell(config_.observer,
       [&](Observer& o) { o.ping_started(core_.resource(slot).connection.backend_pid()); });
  pinging_.push_back({slot, of_round, Deadline(since) + config_.ping_timeout});
}

void Maintenance::step_pings() noexcept {
  std::erase_if(pinging_, [this](const Ping& ping) {
    const auto result =
        pq::PoolAccess(core_.resource(ping.slot).connection).ping_step(Deadline::now());
    const bool over =
        result != pq::PingResult::pending || ping.deadline.passed() || core_.slots().closed();
    if (over) end_ping(ping, result == pq::PingResult::alive);
    return over;
  });
}

void Maintenance::end_ping(const Ping& ping, bool answered) noexcept {
  Connection& connection = core_.resource(ping.slot).connection;
  if (answered) round_.answered(ping.slot);
  tell(config_.observer, [&](Observer& o) {
    o.ping_ended({.backend_pid = connection.backend_pid(), .answered = answered});
  });
  if (!answered) {
    if (!core_.slots().closed()) suspect();
    pq::PoolAccess(connection).doom();  // a hook could not talk to it
    return retire(ping.slot, Retired::ping);
  }
  if (pq::PoolAccess(connection).role() == pq::Role::standby) return demoted(ping.slot);
  if (pq::PoolAccess(connection).role() == pq::Role::doubtful) return resets_.take(ping.slot);
  core_.slots().put_back(ping.slot);
}

void Maintenance::step_resets() noexcept {
  resets_.step([this](std::uint32_t slot, pq::SessionReset::Result result) {
    PooledConnection& pooled = core_.resource(slot);
    if (result == pq::SessionReset::Result::demoted) return demoted(slot);
    if (result != pq::SessionReset::Result::clean) return retire(slot, Retired::reset);
    if (!core_.fresh(slot)) return retire(slot, core_.stale_reason(slot));
    if (pooled.rules->after_release) {
      core_.slots().slot(slot).set_errand(Errand::after_release);
      return core_.want_hook_job(slot);
    }
    core_.slots().put_back(slot);
  });
}

void Maintenance::retire(std::uint32_t slot, Retired reason) noexcept {
  core_.count_retired(slot, core_.slots().closed() ? Retired::shutdown : reason);
  core_.slots().retire_checked(slot);
}

// The server of this connection is no primary any more, or takes no writes, though the pool wants a
// primary. The other connections are likely to be at the same server. But one such reset per
// backoff step is enough: two servers that disagree would keep the pool reconnecting.
void Maintenance::demoted(std::uint32_t slot) noexcept {
  const int backend_pid = core_.resource(slot).connection.backend_pid();
  // An older connection tells what is known already, and nothing of those that came since.
  const bool outdated = core_.slots().slot(slot).generation() != core_.slots().generation();
  retire(slot, Retired::generation);
  const auto now = Clock::now();
  if (outdated || now < next_role_change_ || core_.slots().closed()) return;
  const bool calm = now > next_role_change_ + config_.connect_backoff_max;
  role_changes_in_a_row_ = calm ? 1 : role_changes_in_a_row_ + 1;
  next_role_change_ =
      now + core::policy::backoff(role_changes_in_a_row_, config_.connect_backoff_min,
                                  config_.connect_backoff_max, 1.0);
  role_changes_.fetch_add(1, std::memory_order_relaxed);
  core_.slots().next_generation();
  hurry();
  tell(config_.observer, [&](Observer& o) { o.role_changed(backend_pid); });
}

// At the end: maintenance waits for nothing any more.
void Maintenance::finish_rest() noexcept {
  for (const Termination& termination : terminations_) {
    if (termination.step() == Termination::Progress::pending) {
      abandoned_.fetch_add(1, std::memory_order_relaxed);
    }
    core_.finish(termination.slot());
  }
  terminations_.clear();
}

}  // namespace tidegate::detail
