#include "pool/pool_impl.hpp"

#include <algorithm>
#include <functional>
#include <random>
#include <utility>

#include <tidegate/base/duration.hpp>
#include <tidegate/core/policy.hpp>
#include <tidegate/core/resource_core.hpp>
#include <tidegate/core/slot_pool_bodies.hpp>

#include "pool/events.hpp"
#include "pool/hook_scope.hpp"
#include "pool/lanes/lanes.hpp"
#include "pool/queries.hpp"
#include "pool/upkeep/connector.hpp"
#include "pq/forked_descriptors.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::core {
template class ResourceCore<tidegate::detail::PooledConnection, StdSync>;
}

namespace tidegate::detail {
namespace {

// How often warm_up asks for the refill again: an opening may have got no thread, or a connection
// may have gone.
constexpr std::chrono::milliseconds kHurryEvery{100};

// The lifetime with jitter, rolled once per connection.
std::function<core::Tick(core::Tick)> expiry(const PoolConfig& config) {
  if (config.max_lifetime.count() == 0) return {};
  return [lifetime = std::chrono::nanoseconds(config.max_lifetime).count(),
          jitter = std::chrono::nanoseconds(config.effective_lifetime_jitter()).count()](
             core::Tick now) {
    thread_local std::minstd_rand random{std::random_device{}()};
    return now + lifetime + std::uniform_int_distribution<core::Tick>(0, jitter)(random);
  };
}

// At least the core's default, so that a pool of one connection goes on, too.
std::uint32_t max_detached(const PoolConfig& config) {
  return std::max(config.effective_max_connecting(), core::OpenersConfig{}.max_detached);
}

// As many hooks as connects may run at once, if there is a hook to run.
std::uint32_t hook_threads(const PoolConfig& config) {
  const bool any = config.hooks.after_release || config.hooks.before_close;
  return any ? config.effective_max_connecting() : 0;
}

// before_close gets the connections that still work.
std::function<bool(PooledConnection&)> last_hook(const PoolConfig& config) {
  if (!config.hooks.before_close) return {};
  return [](PooledConnection& pooled) { return pq::PoolAccess(pooled.connection).usable(); };
}

}  // namespace

PoolImpl::PoolImpl(PoolConfig config, Location where)
    : config_((config.validate(where), std::move(config))),
      name_(config_.effective_name()),
      queries_(queries_of(config_)),
      cancels_(std::make_shared<pq::CancelGroup>(config_.cancel_rate, config_.cancel_quiet)),
      connector_(std::make_shared<const Connector>(*this, config_, cancels_)),
      core_(PoolCore::make(
          {.max_size = config_.max_size,
           .gates = config_.gates.value_or(0),
           .max_waiters = config_.max_waiters,
           .max_opening = config_.effective_max_connecting(),
           .barge_window = config_.barge_window},
          {.max_threads = config_.effective_max_connecting(),
           .hook_threads = hook_threads(config_),
           .max_detached = max_detached(config_),
           .open_timeout = config_.connect_timeout,
           .backoff_min = config_.connect_backoff_min,
           .backoff_max = config_.connect_backoff_max},
          {.create =
               [this](std::stop_token stop, Deadline deadline) {
                 const InHook scope(*this);  // for the observer
                 maintenance_.wake();        // to look whether this takes too long
                 auto opened = connector_->open(stop, deadline);
                 // The coarse tick stands still while nothing is open. Maintenance
                 // may be late to set it going; a lease that ended before that would
                 // leave a connection that looks as if it had been idle since the
                 // tick stopped.
                 core_->slots().set_tick(
                     std::chrono::steady_clock::now().time_since_epoch().count());
                 maintenance_.wake();
                 return opened;
               },
           .expires = expiry(config_),
           .retire_wanted =
               [this] {
                 if (!closing_.takes_the_last()) maintenance_.wake();
               },
           .no_thread = [this] { maintenance_.no_thread(); },
           // Called for late leases, too: it must not refer to the pool.
           .destroy = [](PooledConnection&& connection) { end_now(connection); },
           .ends_with_hook = last_hook(config_),
           .hook_job = [this](std::uint32_t slot,
                              const std::stop_token& stop) { run_hook_job(slot, stop); },
           .overdue = std::bind_front(&Connector::overdue, connector_),
           .backing_off =
               [this](std::chrono::steady_clock::time_point next) {
                 const InHook scope(*this);  // for the observer
                 maintenance_.refill_at(next);
                 tell(config_.observer, [&](Observer& o) {
                   const auto now = std::chrono::steady_clock::now();
                   o.backing_off(core_->openers().backoff().failures,
                                 std::max<std::chrono::nanoseconds>(next - now, {}));
                 });
               }})),
      maintenance_(config_, *core_, *this, [this] { start_closer(); }),
      closing_({config_, name_, *core_, maintenance_, *cancels_, *users_}),
      lanes_(Lanes::possible(config_) ? std::make_unique<Lanes>(*this) : nullptr) {}

PoolImpl::~PoolImpl() {
  maintenance_.join();  // maintenance may still start the closer
  if (closer_.joinable()) closer_.join();
}

// Every acquire meets a closed gate, and then inherited(). Connections handle a fork by themselves.
void PoolImpl::in_child(void* pool) noexcept {
  PoolImpl& self = *static_cast<PoolImpl*>(pool);
  self.core_->close_in_child(
      [](const PooledConnection& pooled) { pq::cut_off_socket(pooled.duplicate.get()); });
  self.maintenance_.cut_off_in_child();
}

ErrorValue PoolImpl::inherited_error(Location where) const {
  return ErrorValue::of(Forked(
      "pool \"" + name_ +
          "\" was inherited by fork(): only the process that made it may use it\n  hint: make "
          "the pool after fork()",
      where));
}

void PoolImpl::begin_generation() noexcept {
  core_->begin_generation();
  maintenance_.hurry();
}

UserToken PoolImpl::attach(std::string_view user_name, Location where) {
  if (user_name.empty()) throw UsageError("attach: the user has no name", where);
  if (core_->slots().closed()) explain_closed(where).raise();
  return users_->attach(user_name, where);
}

// Maintenance does the refill; this only waits for it. A connection that is being reset or pinged,
// or has a hook, counts as open: under load a connection may be so at each look.
Expected<void> PoolImpl::warm_up(Deadline deadline, Location where) {
  Search search;
  search.began = search.since = std::chrono::steady_clock::now();
  search.deadline = deadline;
  const AcquireWish wish{.deadline = deadline, .where = where};
  const std::uint64_t failures_before = core_->slots().failures();
  const std::uint64_t openings_before = core_->slots().openings();
  Deadline hurry_again = Deadline::now();
  for (;;) {
    const PoolCounts counts = core_->slots().places();
    const std::uint32_t wanted = core::policy::floor_size(config_.min_size, config_.min_idle,
                                                          counts.leased, config_.max_size);
    const std::uint32_t open = counts.idle + counts.leased + counts.checking;
    if (open >= wanted) return {};
    if (core_->slots().closed()) return explain_closed(where);
    if (core_->slots().rejected_since(failures_before)) {
      return explain_connect(Errc::rejected, report_of(wish, search), where);
    }
    // In lame duck nothing more is opened for the minimum: only what is under way can still come.
    const bool lame = !maintenance_.refills() && counts.connecting + counts.checking == 0;
    if (lame || deadline.passed()) {
      const auto& slots = core_->slots();
      if (!lame && slots.failures() > failures_before && slots.openings() == openings_before) {
        return explain_connect(Errc::unavailable, report_of(wish, search), where);
      }
      return short_of(open, wanted, lame, search, where);
    }
    if (hurry_again.passed()) {
      maintenance_.hurry();
      hurry_again = Deadline(kHurryEvery);
    }
    maintenance_.await_pass(deadline);
  }
}

// A warm_up ends with `open` of the `wanted` connections.
ErrorValue PoolImpl::short_of(std::uint32_t open, std::uint32_t wanted, bool lame,
                              const Search& search, Location where) const {
  std::string text = "pool \"" + name_ + "\": warm_up has " + std::to_string(open) + " of " +
                     std::to_string(wanted) + " connections";
  if (lame) {
    text += ": its shutdown was announced, and no more are opened ahead of need";
  } else {
    text += " after " + brief_duration(std::chrono::steady_clock::now() - search.began);
    const auto failure = core_->last_failure();
    if (failure) text += "\n  last connect: " + std::string(failure->what());
  }
  return ErrorValue::of(Error(lame ? Errc::closed : Errc::timeout, text, where));
}

}  // namespace tidegate::detail
