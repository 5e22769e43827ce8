#include "maintenance.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <tidegate/core/policy.hpp>
#include <tidegate/core/thread.hpp>

namespace tidegate::detail {
namespace {

using namespace std::chrono_literals;
using core::Retired;

constexpr auto kTickPeriod = 10ms;
// Steady churn must not make the chores permanent.
constexpr auto kChoresAtMostEvery = 100ms;

}  // namespace

Maintenance::Maintenance(const PoolConfig& config, PoolCore& core)
    : config_(config), core_(core), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!wake_) throw std::system_error(errno, std::generic_category(), "tidegate: eventfd");
  farewells_.reserve(config_.max_size);
  pinging_.reserve(config_.max_size);
  idle_.reserve(config_.max_size);
  to_ping_.reserve(config_.max_size);
  polled_.reserve(std::size_t{config_.max_size} + 1);
  thread_ = core::start_thread("tidegate-keep", [this] { run(); });
}

void Maintenance::wake() noexcept {
  // EAGAIN: the counter is full, so the thread is awake anyway.
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

void Maintenance::ping(std::uint32_t slot) noexcept {
  {
    std::lock_guard lock(mutex_);
    to_ping_.push_back(slot);  // reserved: a slot is in one place only (I2)
  }
  wake();
}

void Maintenance::hurry() noexcept {
  hurry_.store(true, std::memory_order_relaxed);  // relaxed: the eventfd orders it well enough
  wake();
}

void Maintenance::stop(Deadline deadline) noexcept {
  if (!thread_.joinable()) return;
  stop_at_.store(deadline.at().time_since_epoch().count(), std::memory_order_relaxed);
  stopping_.store(true, std::memory_order_release);
  wake();
  thread_.join();
}

// ---- the loop --------------------------------------------------------------------------------

void Maintenance::run() noexcept {
  window_began_ = next_chores_ = Clock::now();
  for (;;) {
    const auto now = Clock::now();
    keep_time(now);
    take_work();
    step_farewells();
    step_pings();
    if (stopping_.load(std::memory_order_acquire)) {
      const Deadline until{
          Clock::time_point(Clock::duration(stop_at_.load(std::memory_order_relaxed)))};
      if (core_.slots().retiring() == 0 || until.passed()) return finish_rest();
    } else if (now >= next_chores_ || hurry_.exchange(false, std::memory_order_relaxed)) {
      do_chores(now);
    }
    if (!wait()) return finish_rest();
  }
}

void Maintenance::take_work() noexcept {
  while (const auto slot = core_.slots().take_to_retire()) {
    farewells_.emplace_back(*slot, core_.resource(*slot));
    // Something went: look soon whether something must come, but not at every one of a storm.
    next_chores_ = std::min(next_chores_, std::max(Clock::now(), last_chores_ + kChoresAtMostEvery));
  }
  std::lock_guard lock(mutex_);
  for (const std::uint32_t slot : to_ping_) {
    pinging_.push_back({slot, Deadline(config_.ping_timeout)});
    pings_.fetch_add(1, std::memory_order_relaxed);
  }
  to_ping_.clear();
}

// Sleeps until a server says something, somebody wakes us, or the next thing is due. False: polling
// does not work.
bool Maintenance::wait() noexcept {
  polled_.clear();
  polled_.push_back({wake_.get(), POLLIN, 0});
  Deadline next = anything_open_ ? Deadline(kTickPeriod) : Deadline(next_chores_);
  if (stopping_.load(std::memory_order_relaxed)) next = earlier(next, Deadline(kTickPeriod));
  for (const Farewell& farewell : farewells_) {
    polled_.push_back({farewell.socket(), POLLIN, 0});  // a negative one is passed over
    next = earlier(next, farewell.deadline());
  }
  for (const Ping& ping : pinging_) {
    polled_.push_back({core_.resource(ping.slot).connection.socket(), POLLIN, 0});
    next = earlier(next, ping.deadline);
  }
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

void Maintenance::step_farewells() noexcept {
  std::erase_if(farewells_, [this](const Farewell& farewell) {
    const Farewell::Progress progress = farewell.step();
    if (progress == Farewell::Progress::pending) return false;
    if (progress == Farewell::Progress::abandoned) abandoned_.fetch_add(1, std::memory_order_relaxed);
    core_.finish(farewell.slot());
    return true;
  });
}

void Maintenance::step_pings() noexcept {
  std::erase_if(pinging_, [this](const Ping& ping) {
    const auto result = core_.resource(ping.slot).connection.ping_step(Deadline::now());
    if (result == pq::PingResult::alive) {
      core_.slots().put_back(ping.slot);
    } else if (result == pq::PingResult::dead || ping.deadline.passed() || core_.slots().closed()) {
      retire(ping.slot, Retired::ping);
    } else {
      return false;
    }
    return true;
  });
}

void Maintenance::retire(std::uint32_t slot, Retired reason) noexcept {
  core_.count_retired(core_.slots().closed() ? Retired::shutdown : reason);
  core_.slots().retire_checked(slot);
}

// At the end: nothing is waited for any more.
void Maintenance::finish_rest() noexcept {
  for (const Farewell& farewell : farewells_) {
    if (farewell.step() == Farewell::Progress::pending) {
      abandoned_.fetch_add(1, std::memory_order_relaxed);
    }
    core_.finish(farewell.slot());
  }
  farewells_.clear();
}

// ---- chores ----------------------------------------------------------------------------------

void Maintenance::keep_time(Clock::time_point now) noexcept {
  core_.slots().set_tick(now.time_since_epoch().count());
  const PoolCounts counts = core_.slots().counts();
  anything_open_ =
      counts.idle + counts.leased + counts.connecting + counts.checking + counts.waiting > 0;
  window_peak_ = std::max(window_peak_, counts.leased);
  if (counts.leased > peak_leased()) peak_.store(counts.leased, std::memory_order_relaxed);
  // An opening that got no thread is asked for again here.
  if (counts.waiting > 0 && counts.connecting == 0) core_.slots().grow_to(0);
}

void Maintenance::do_chores(Clock::time_point now) noexcept {
  last_chores_ = now;
  next_chores_ = now + config_.health_period;
  const PoolCounts counts = core_.slots().places();
  core_.slots().grow_to(core::policy::floor_size(config_.min_size, config_.min_idle, counts.leased,
                                                 config_.max_size));
  expire_and_reap(now);
}

// Takes every idle connection in hand for a moment, one at a time, and lets go of those that are
// to stay. Idle ones in docks, too: a docked connection may sit there for hours.
void Maintenance::expire_and_reap(Clock::time_point now) noexcept {
  auto& slots = core_.slots();
  idle_.clear();
  const auto look_at = [&](std::uint32_t slot) {
    if (!core_.fresh(slot)) return retire(slot, core_.stale_reason(slot));
    idle_.push_back(slot);
    slots.put_back(slot);
  };
  for (std::uint32_t g = 0; g < slots.gate_count(); ++g) {
    if (const auto slot = slots.try_check_docked(g)) look_at(*slot);
  }
  for (std::uint32_t slot = 0; slot < config_.max_size; ++slot) {
    if (slots.try_check(slot)) look_at(slot);
  }
  if (config_.max_idle_time.count() == 0) return;

  const auto limit = std::chrono::nanoseconds(config_.max_idle_time);
  const core::Tick oldest_kept = (now - limit).time_since_epoch().count();
  const PoolCounts counts = slots.places();
  core::policy::Reap reap{
      .open = counts.idle + counts.leased + counts.checking,
      .floor = core::policy::floor_size(config_.min_size, config_.min_idle, counts.leased,
                                        config_.max_size)};
  for (const std::uint32_t slot : idle_) {
    if (slots.slot(slot).since() <= oldest_kept) ++reap.aged;
  }
  // Under rotation through the queue every connection is used now and then; what the busiest
  // moment of a whole window did not need is surplus all the same.
  if (now - window_began_ >= limit) {
    reap.surplus = reap.open > window_peak_ ? reap.open - window_peak_ : 0;
    window_began_ = now;
    window_peak_ = counts.leased;
  }
  std::uint32_t left = core::policy::to_reap(reap);
  std::sort(idle_.begin(), idle_.end(), [&](std::uint32_t a, std::uint32_t b) {
    return slots.slot(a).since() < slots.slot(b).since();
  });
  for (const std::uint32_t slot : idle_) {
    if (left == 0) return;
    if (!slots.try_check(slot)) continue;  // somebody has it by now
    retire(slot, Retired::idle);
    --left;
  }
}

}  // namespace tidegate::detail
