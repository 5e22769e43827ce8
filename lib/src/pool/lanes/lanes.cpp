#include "pool/lanes/lanes.hpp"

#include <algorithm>

#include <tidegate/core/sync.hpp>
#include <tidegate/pool/lane_call.hpp>
#include <tidegate/pq/errors.hpp>

#include "pool/hook_scope.hpp"
#include "pool/lease_table.hpp"
#include "pool/pool_impl.hpp"
#include "pq/observed_query.hpp"

namespace tidegate::detail {
namespace {

// A result above this blocks a lane for long: libpq reads it to its end before it hands it out.
constexpr std::size_t kLargestResult = std::size_t{256} * 1024;

// Threads are spread over the lanes in the order in which they come.
std::uint32_t thread_number() noexcept {
  static std::atomic<std::uint32_t> threads{0};  // relaxed: a number of its own
  thread_local const std::uint32_t number = threads.fetch_add(1, std::memory_order_relaxed);
  return number;
}

}  // namespace

Lanes::Lanes(PoolImpl& pool) : pool_(pool) {
  const PoolConfig& config = pool.config();
  const std::uint32_t count = std::min(config.lanes, config.max_size);
  for (std::uint32_t i = 0; i < count; ++i) {
    lanes_.push_back(std::make_unique<Lane>(pool, counts_, table_));
  }
}

bool Lanes::possible(const PoolConfig& config) noexcept {
  return config.lanes > 0 && config.reset != ResetPolicy::discard_all && !config.hooks.prepare &&
         !config.hooks.after_release && config.nested_acquire == NestedAcquire::off;
}

// A thread that has a lease, is in a hook, or leads a lane might be what a lane waits for: it waits
// as every acquirer does, where that is found out.
bool Lanes::may_travel(const StatementTable::Text& text) const noexcept {
  if (off() || !text.may_travel) return false;
  if (text.time > pool_.config().lane_limit || text.bytes > kLargestResult) return false;
  if (Lane::leading() || InHook::of(pool_)) return false;
  return count_leases(pool_.core(), core::current_thread_id(), Known::last_user) == 0;
}

std::optional<Lanes::Seat> Lanes::enter(const StatementTable::Text& text) noexcept {
  if (!may_travel(text)) return std::nullopt;
  const std::uint32_t number = thread_number();
  const auto count = static_cast<std::uint32_t>(lanes_.size());
  for (std::uint32_t i = 0; i < count; ++i) {
    Lane& lane = *lanes_[(number + i) % count];
    if (lane.is_slow(pool_.config().lane_limit)) continue;
    if (const auto place = lane.enter(number)) return Seat{&lane, *place};
  }
  return std::nullopt;
}

Stats::Lanes Lanes::stats() const noexcept {
  const auto count = [](const auto& counter) { return counter.load(std::memory_order_relaxed); };
  std::uint32_t callers = 0;
  for (const auto& lane : lanes_) callers += lane->callers();
  return {.open = count(counts_.open),
          .callers = callers,
          .statements = count(counts_.statements),
          .rounds = count(counts_.rounds),
          .moved = count(counts_.moved),
          .rerun = count(counts_.rerun),
          .struck = count(counts_.struck)};
}

// ---- LaneCall ----------------------------------------------------------------------------------

LaneCall::LaneCall(std::shared_ptr<PoolImpl> pool, const ExecOptions& options, Sql sql) noexcept
    : pool_(std::move(pool)), options_(options), sql_(sql) {}

// The time of a statement that had a connection of its own, so that one that is fast again may take
// a lane again.
LaneCall::~LaneCall() {
  if (lane_ != nullptr && !pool_->inherited()) lane_->leave(place_);
  if (!lease_ || !is_known_) return;
  pool_->lanes()->table().note({.hash = hash_}, std::chrono::steady_clock::now() - began_, 0);
}

Params& LaneCall::params() noexcept { return lane_->statement(place_).params; }

std::optional<Rows> LaneCall::run() {
  pool_->refuse_if_inherited(sql_.where());
  if (!lane_->statement(place_).fits()) {
    fits_ = false;
    return std::nullopt;
  }
  return pool_->queries() == nullptr ? run_on_lane(nullptr) : run_observed();
}

// On the caller's thread: the leader's knows nothing of it.
std::optional<Rows> LaneCall::run_observed() {
  pq::ObservedQuery observed(pool_->queries(), {.on_lane = true});
  observed.begin(QueryKind::exec, sql_.text(), sql_.where());
  observed.in(sql_.where());
  observed.start(&params());
  try {
    auto rows = run_on_lane(&observed);
    if (!rows) observed.moved();
    observed.end();
    return rows;
  } catch (const QueryError& error) {
    observed.fail(error.code(), &error.report(), true);
    observed.end();
    throw;
  } catch (const Error& error) {
    observed.fail(error.code(), nullptr, true);
    observed.end();
    throw;
  }
}

std::optional<Rows> LaneCall::run_on_lane(pq::ObservedQuery* observed) {
  const Deadline own = pool_->timeout_from(began_);
  const Deadline send_by = earlier(own, options_.by);
  const LaneWish wish{.options = options_,
                      .sql = sql_,
                      .began = began_,
                      .send_by = send_by,
                      .configured = send_by == own && !own.is_never(),
                      .observed = observed};
  Lane& lane = *std::exchange(lane_, nullptr);
  return lane.run(place_, {.hash = hash_}, wish);
}

}  // namespace tidegate::detail
