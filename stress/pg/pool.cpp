#include "pg/pool.hpp"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

#include <tidegate/pq/errors.hpp>
#include <tidegate/watch/metrics.hpp>

#include "pg/server.hpp"
#include "support/pause.hpp"
#include "support/proxy.hpp"
#include "support/verdict.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

// By process id: who has leased the session, an actor's index + 1, or 0. Relaxed, as in Ledger: the
// ledger must not order what the pool has to order. Pages that nobody touches cost nothing.
constinit std::array<std::uint32_t, 1 << 22> owners{};
// A pooler makes its process ids up, of 32 bits.
std::atomic_ref<std::uint32_t> owner(int pid) {
  return std::atomic_ref(owners[static_cast<std::uint32_t>(pid) % owners.size()]);
}

std::uint32_t bits(std::initializer_list<Errc> codes) {
  std::uint32_t all = 0;
  for (const Errc code : codes) all |= 1u << static_cast<unsigned>(code);
  return all;
}
bool has(std::uint32_t all, Errc code) { return (all >> static_cast<unsigned>(code) & 1) != 0; }

std::size_t entries_of(const char* folder) {
  const std::filesystem::directory_iterator entries(folder);
  return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

auto patience() { return Watchdog::instance().limit() / 2; }

// How long the answer to a statement's cancel is awaited (ConnectOptions::drain_bound).
constexpr auto kDrainBound = 1s;

// `grace`: what may be added to the deadline, beside what a loaded machine may cost.
void require_in_time(const char* what, Deadline deadline, std::chrono::milliseconds grace = 0ms) {
  if (deadline.is_never() || deadline == Deadline::now()) return;
  const auto late = std::chrono::steady_clock::now() - deadline.at();
  require(late < grace + patience(), "I8", what, " ended ",
          std::chrono::duration_cast<std::chrono::milliseconds>(late).count(),
          " ms after its deadline");
}

}  // namespace

PoolConfig PgPool::quick(std::string name, std::uint32_t max_size) {
  return {.name = std::move(name),
          .max_size = max_size,
          .connect_timeout = 2s,
          .connect_backoff_min = 10ms,
          .connect_backoff_max = 100ms,
          .health_period = 50ms,
          .ping_timeout = 200ms,
          .close_drain = 5s};
}
PoolConfig PgPool::quick(std::string name, std::uint32_t max_size, const Proxy& proxy) {
  PoolConfig config = quick(std::move(name), max_size);
  config.conninfo = "host=127.0.0.1 port=" + proxy.port();
  return config;
}

PgPool::PgPool(PoolConfig config, const Allowed& allowed, Proxy* proxy)
    : name_(config.effective_name()),
      max_size_(config.max_size),
      allowed_acquire_(bits(allowed.acquire)),
      allowed_statement_(bits(allowed.statement)),
      proxy_(proxy) {
  Server::instance().run("select 1");  // so that its session counts before and after
  if (proxy_ != nullptr) {
    require(comes_true(patience(), [&] { return proxy_->live() == 0; }), "I11",
            "somebody else's sessions live in the proxy");
    proxy_->forget_high_water();
  }
  threads_before_ = entries_of("/proc/self/task");
  files_before_ = entries_of("/proc/self/fd");
  pool_.emplace(std::move(config));
  status_.emplace([this] { return progress(); });
  sampler_ = std::jthread([this](const std::stop_token& stop) {
    Stats before;
    while (!stop.stop_requested()) {
      const Stats s = pool_->stats();
      require(s.idle + s.leased + s.connecting + s.checking + s.retiring <= max_size_, "I1",
              to_string(s));
      check_counters(before, s);
      before = s;
      check_sessions();
      check_records();
      seen_[0].store(s.leased, std::memory_order_relaxed);
      seen_[1].store(s.idle, std::memory_order_relaxed);
      seen_[2].store(s.waiting, std::memory_order_relaxed);
      pause(10ms);
    }
  });
}

PgPool::~PgPool() {
  stop_sampling();
  Watchdog::instance().count({.acquires = attempts_,
                              .leases = ended_,
                              .closes = closed_in_use_.load(std::memory_order_relaxed) ? 1U : 0U});
}

void PgPool::check_sessions() {
  if (proxy_ == nullptr) return;
  // In this order: what is abandoned is counted before its place is taken.
  const std::uint32_t most = proxy_->high_water();
  const std::uint64_t abandoned = pool_->stats().backends_abandoned;
  require(most <= max_size_ + abandoned, "I1", most, " sessions at once by the proxy's count; ",
          max_size_, " are allowed, ", abandoned, " were abandoned");
}

// What is exported as a counter never goes back (I7): whoever adds it up would count all of it
// again. Seen failing: acquires served at once, as a difference of two counters.
void PgPool::check_counters(const Stats& before, const Stats& now) {
  const std::vector<MetricFamily> earlier = metrics_of({{.pool = "", .stats = before}});
  const std::vector<MetricFamily> later = metrics_of({{.pool = "", .stats = now}});
  for (std::size_t i = 0; i < later.size(); ++i) {
    const MetricFamily& family = later[i];
    for (const MetricSample& sample : family.samples) {
      const bool counts = family.type != MetricFamily::Type::gauge;
      const auto same = std::find_if(
          earlier[i].samples.begin(), earlier[i].samples.end(),
          [&sample](const MetricSample& other) { return other.labels == sample.labels; });
      if (!counts || same == earlier[i].samples.end()) continue;
      require(same->value <= sample.value, "I7", std::string(family.name), " went back from ",
              std::to_string(same->value), " to ", std::to_string(sample.value), "; ",
              to_string(now));
      require(same->histogram.count() <= sample.histogram.count(), "I7", std::string(family.name),
              " went back: ", to_string(now));
    }
  }
  require(before.released <= now.released, "I7", "released went back: ", to_string(now));
}

// Never more records than connections, nor two of one session (I6).
void PgPool::check_records() const {
  std::vector<int> pids;
  for (const LeaseInfo& lease : pool_->leases()) pids.push_back(lease.backend_pid);
  require(pids.size() <= max_size_, "I6", pids.size(), " leases of ", max_size_, " connections");
  std::sort(pids.begin(), pids.end());
  const auto twice = std::adjacent_find(pids.begin(), pids.end());
  require(twice == pids.end(), "I6", "two leases of session ", twice == pids.end() ? 0 : *twice);
}

// ---- verbs -----------------------------------------------------------------------------------

std::optional<PgPool::Held> PgPool::acquire(Actor& actor, Deadline deadline,
                                            const std::stop_token& stop, Errc* why) {
  attempts_.add();
  auto lease = [&] {
    const Actor::InCall call(actor, "acquire");
    return pool_->try_acquire(deadline, stop);
  }();
  require_in_time("an acquire", deadline);
  if (lease) {
    acquired_.add();
    Held held{std::move(*lease), 0};
    held.pid = held.lease->backend_pid();
    const std::uint32_t before =
        owner(held.pid).exchange(actor.index + 1, std::memory_order_relaxed);
    require(before == 0, "I2", "session ", held.pid, " of actor ", before - 1,
            " was leased to actor ", actor.index);
    const LeaseInfo record = held.lease.info();
    require(record.thread_id == actor.thread_id() && record.backend_pid == held.pid, "I6",
            "the record of a lease of session ", held.pid, " tells of session ", record.backend_pid,
            ", thread ", record.thread_id);
    require(held.lease->transaction_status() == TransactionStatus::idle, "I10",
            "a lease begins in a transaction");
    return held;
  }
  const Errc code = lease.error().code();
  acquire_failed_[static_cast<std::size_t>(code)].add();
  if (why != nullptr) *why = code;
  if (code == Errc::closed) {
    require(closing_.load(std::memory_order_relaxed), "I9", "closed, and nobody closes");
    return std::nullopt;
  }
  require(has(allowed_acquire_, code), "I9", "an acquire failed: ", lease.error().what());
  if (code == Errc::timeout || code == Errc::unavailable) {
    require(deadline.passed(), "I9",
            "before its deadline an acquire ended so: ", lease.error().what());
  }
  if (code == Errc::canceled) require(stop.stop_requested(), "I9", "canceled without a stop");
  return std::nullopt;
}

std::optional<Errc> PgPool::run(Actor& actor, Held& held, const char* verb, Deadline by,
                                const std::function<void(Connection&)>& statements) {
  std::optional<Errc> failed;
  try {
    const Actor::InCall call(actor, verb);
    statements(*held.lease);
  } catch (const Error& error) {
    failed = error.code();
    failed_[static_cast<std::size_t>(*failed)].add();
    require(has(allowed_statement_, *failed), "I9", "a statement failed: ", error.what());
  }
  require_in_time("a statement", by, kDrainBound);
  if (!failed) answered_.add();
  return failed;
}

std::optional<Errc> PgPool::exec(Actor& actor, Held& held, const char* sql,
                                 const ExecOptions& options) {
  return run(actor, held, "exec", options.by, [&](Connection& c) { c.exec(options, sql); });
}

std::optional<Errc> PgPool::ask(Actor& actor, Held& held, const ExecOptions& options) {
  return run(actor, held, "ask", options.by, [&](Connection& c) {
    const int pid = c.query_value<int>(options, "select pg_backend_pid()");
    require(pid == held.pid, "I10", "session ", held.pid, " was asked, and ", pid, " answered");
  });
}

void PgPool::end(Actor& actor, Held& held, const char* verb) {
  const std::uint32_t before = owner(held.pid).exchange(0, std::memory_order_relaxed);
  require(before == actor.index + 1, "I2", verb, " of session ", held.pid, " by actor ",
          actor.index, ", and it was leased to ", before - 1);
  ended_.add();
}
void PgPool::release(Actor& actor, Held held) {
  end(actor, held, "release");
  const Actor::InCall call(actor, "release");
  held.lease.release();
}
void PgPool::discard(Actor& actor, Held held) {
  end(actor, held, "discard");
  discarded_.add();
  const Actor::InCall call(actor, "discard");
  held.lease.discard();
}

std::optional<Errc> PgPool::use(Actor& actor, Deadline deadline, const ExecOptions& options) {
  Errc why{};
  auto held = acquire(actor, deadline, {}, &why);
  if (!held) return why;
  const auto failed = ask(actor, *held, options);
  release(actor, std::move(*held));
  return failed;
}

void PgPool::fill(Actor& actor, std::uint32_t count) {
  std::vector<Held> all;
  while (all.size() < count) {
    auto held = acquire(actor, Deadline(patience()));
    require(held.has_value(), "the server", "it is well, and there is no session to be had");
    all.push_back(std::move(*held));
  }
  for (Held& held : all) release(actor, std::move(held));
}

void PgPool::with(Actor& actor, Deadline deadline, const std::function<void(Connection&)>& f) {
  const Actor::InCall call(actor, "with");
  attempts_.add();
  pool_->with(
      [&](Connection& connection) {
        acquired_.add();
        f(connection);
      },
      deadline);
  ended_.add();
}

void PgPool::recurse() {
  attempts_.add();
  if (const auto lease = pool_->try_acquire()) {
    acquired_.add();
    ended_.add();
  } else {
    acquire_failed_[static_cast<std::size_t>(lease.error().code())].add();
  }
}

void PgPool::expect_close() noexcept {
  if (closing_.exchange(true, std::memory_order_relaxed)) return;
  closed_in_use_.store(attempts_ > ended_ + acquires_failed(), std::memory_order_relaxed);
}

CloseReport PgPool::close(Actor& actor, const CloseOptions& options) {
  expect_close();
  const Actor::InCall call(actor, "close");
  return pool_->close(options);
}

void PgPool::destroy(Actor& actor) {
  expect_close();
  stop_sampling();
  const Actor::InCall call(actor, "~Pool");
  pool_.reset();
}

// ---- audits ----------------------------------------------------------------------------------

std::uint64_t PgPool::acquires_failed() const noexcept {
  std::uint64_t sum = 0;
  for (const Count& count : acquire_failed_) sum += count;
  return sum;
}

void PgPool::compare(const Stats& stats) const {
  const auto same = [&](const char* what, std::uint64_t pool, std::uint64_t ledger) {
    require(pool == ledger, "I7", what, ": the pool has ", pool, ", the ledger ", ledger, "; ",
            to_string(stats));
  };
  const auto failed = [&](Errc code) { return acquires_failed(code); };
  same("leases begun", stats.acquired(), acquired_);
  same("attempts", stats.attempts(), attempts_);
  same("leases out", stats.leased, acquired_ - ended_);
  same("leases ended", stats.released + stats.discarded + stats.hijacked, ended_);
  same("timeout", stats.outcomes.timeout, failed(Errc::timeout));
  same("unavailable", stats.outcomes.unavailable, failed(Errc::unavailable));
  same("rejected", stats.outcomes.rejected, failed(Errc::rejected));
  same("overloaded", stats.outcomes.overloaded, failed(Errc::overloaded));
  same("hook", stats.outcomes.hook, failed(Errc::hook));
  same("canceled", stats.outcomes.canceled, failed(Errc::canceled));
  same("closed", stats.outcomes.closed, failed(Errc::closed));
  same("would_deadlock", stats.outcomes.would_deadlock, failed(Errc::would_deadlock));
}

void PgPool::audit_at_rest(Actor& actor) {
  const Actor::InCall call(actor, "audit");
  Stats stats;
  std::size_t sessions = 0;
  const bool rests = comes_true(patience(), [&] {
    sessions = Server::instance().backends(name_).size();
    stats = pool_->stats();
    return stats.leased + stats.connecting + stats.checking + stats.retiring + stats.waiting == 0 &&
           stats.idle == sessions && (proxy_ == nullptr || proxy_->live() == sessions);
  });
  require(rests, "I1", "at rest the server has ", sessions, " sessions",
          proxy_ != nullptr ? ", the proxy " + std::to_string(proxy_->live()) : "", ", the pool ",
          to_string(stats));
  compare(stats);
  check_sessions();
  require(pool_->leases().empty(), "I6",
          "nobody has a lease, and there are records: ", to_string(stats));
}

void PgPool::audit_and_close(Actor& actor, bool sessions) {
  const CloseReport report = close(actor);
  require(report.outcome == CloseReport::Outcome::drained, "I7", to_string(report));
  compare(pool_->stats());
  check_sessions();
  destroy(actor);
  const Actor::InCall call(actor, "last look");
  if (!sessions) return;
  require(comes_true(patience(), [&] { return Server::instance().backends(name_).empty(); }), "I11",
          "the server has sessions of a pool that is gone");
  std::size_t threads = 0;
  std::size_t files = 0;
  const bool nothing_left = comes_true(patience(), [&] {
    threads = entries_of("/proc/self/task");
    files = entries_of("/proc/self/fd");
    return threads <= threads_before_ && files <= files_before_;
  });
  require(nothing_left, "I11", "before there were ", threads_before_, " threads and ",
          files_before_, " descriptors; now there are ", threads, " and ", files);
}

Watchdog::Progress PgPool::progress() const {
  const auto seen = [this](std::size_t i) {
    return std::to_string(seen_[i].load(std::memory_order_relaxed));
  };
  std::string text = "leased " + seen(0) + ", idle " + seen(1) + ", waiting " + seen(2) + " of " +
                     std::to_string(max_size_) + "; acquired " + std::to_string(acquired_) +
                     ", answered " + std::to_string(answered_);
  for (std::size_t i = 0; i < kErrcCount; ++i) {
    const std::string code(to_string(static_cast<Errc>(i)));
    if (acquire_failed_[i] > 0) text += ", " + code + ' ' + std::to_string(acquire_failed_[i]);
    if (failed_[i] > 0) text += ", statements " + code + ' ' + std::to_string(failed_[i]);
  }
  return {Watchdog::instance().tally().acquires + attempts_, text};
}

}  // namespace tidegate::stress
