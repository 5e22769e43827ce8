#include <tidegate/pool/async.hpp>
#include <tidegate/pool/pool.hpp>

#include <algorithm>
#include <ctime>
#include <utility>

#include <tidegate/pq/errors.hpp>

#include "pool/freeze_mark.hpp"
#include "pool/lanes/lanes.hpp"
#include "pool/lease_table.hpp"
#include "pool/pool_impl.hpp"
#include "pq/pool_access.hpp"

namespace tidegate {
namespace {

using core::Entry;
using detail::kLookAfter;
using detail::PoolCore;

// If the tick is older than this, it has stood still: maintenance writes it every 10 ms.
constexpr core::Tick kTickIsLate = 15'000'000;

// The warm path: begins the lease if the docked connection needs no more than a look at what is
// known of it. The connection itself was looked at when it was given back (Connection::reusable),
// and nobody touches a docked connection.
//
// Needs: the tick goes, as far as a thread can know that has run on since it saw that (FreezeMark).
inline bool begin_if_ready(PoolCore& core, const PoolCore::Glance& seen, core::Ticket ticket,
                           Location where) noexcept {
  const std::int32_t thread = core::known_thread_id();
  core::Slot& slot = seen.slots[ticket.slot()];
  if (thread == 0 || !core.fresh(slot, seen) || seen.now - slot.since() >= kLookAfter.count())
      [[unlikely]] {
    return false;
  }
  slot.begin_lease(thread, where, seen.now);
  return true;
}

// The same by a clock, for a thread that has not run on: the whole process may have stood still
// since maintenance last wrote the tick. Every lease after a query that had to wait for its answer
// begins here.
[[gnu::noinline]] bool begin_by_clock(PoolCore& core, core::Ticket ticket,
                                      Location where) noexcept {
  detail::FreezeMark::leave();
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &time);  // no system call
  const core::Tick now = core::Tick{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  PoolCore::Glance seen = core.glance();
  // For all other threads, which may have a mark, and for what is written when leases end.
  if (now - seen.now > kTickIsLate) core.slots().set_tick_from(seen.now, now);
  seen.now = std::max(seen.now, now);
  return begin_if_ready(core, seen, ticket, where);
}

// Tries the first of the two, then the second.
inline bool begin_if_ready(PoolCore& core, core::Ticket ticket, Location where) noexcept {
  if (detail::FreezeMark::intact() && begin_if_ready(core, core.glance(), ticket, where)) {
    return true;
  }
  return begin_by_clock(core, ticket, where);
}

// Enters, and if the dock is empty looks into the queue and the other docks: a connection found
// there counts as if it had been docked here.
inline core::Entered enter_and_look(PoolCore& core) noexcept {
  const core::Entered entered = core.slots().enter();
  if (entered.entry != Entry::admitted) return entered;
  const auto found = core.slots().try_find(entered.ticket.gate());
  if (!found) return entered;
  if (found->error) return {Entry::closed, {}};  // the admission is given back
  return {Entry::docked, found->ticket};
}

}  // namespace

Pool::Pool(PoolConfig config, Location where)
    : impl_(std::make_shared<detail::PoolImpl>(std::move(config), where)),
      core_(&impl_->core()),
      warm_core_(impl_->every_acquire_is_slow() || impl_->tells_leases() ? nullptr : core_),
      has_lanes_(impl_->lanes() != nullptr) {}

Pool::~Pool() { detail::PoolImpl::end(std::move(impl_)); }

Lease Pool::acquire(Location where) {
  PoolCore* const core = warm_core_;
  core::Ticket ticket;
  if (core == nullptr || !detail::FreezeMark::intact() || !core->slots().try_enter_docked(ticket))
      [[unlikely]] {
    return acquire_slowly(where);
  }
  if (begin_if_ready(*core, core->glance(), ticket, where)) [[likely]] {
    return Lease(core, ticket);
  }
  return acquire_slowly({Entry::docked, ticket}, where);
}

// Out of line, to keep the warm path short. A lukewarm acquire needs no more than a look: the
// thread has slept since it looked at a clock; or the dock was empty, but the queue was not; or an
// observer is told of every lease, between these two calls.
Lease Pool::acquire_slowly(Location where) {
  core::Ticket ticket;
  if (warm_core_ != nullptr && core_->slots().try_enter_docked(ticket)) {
    if (begin_by_clock(*core_, ticket, where)) return Lease(core_, ticket);
    return acquire_slowly({Entry::docked, ticket}, where);
  }
  impl_->tell_started(where);
  const auto entered = enter_and_look(*core_);
  if (!may_be_warm() || entered.entry != Entry::docked ||
      !begin_if_ready(*core_, entered.ticket, where)) {
    return acquire_slowly(entered, where);
  }
  impl_->tell_served(entered.ticket, where);
  return Lease(core_, entered.ticket);
}

std::optional<Lease> async::try_acquire(Pool& pool, Location where) noexcept {
  PoolCore* const core = pool.warm_core_;
  core::Ticket ticket;
  if (core == nullptr || !core->slots().try_enter_docked(ticket)) return std::nullopt;
  if (begin_if_ready(*core, ticket, where)) return Lease(core, ticket);
  core->slots().release(ticket);  // as it was: it wants a closer look
  return std::nullopt;
}

bool Pool::may_be_warm() const noexcept {
  return warm_core_ != nullptr || impl_->is_warm_but_tells();
}

Lease Pool::acquire_slowly(core::Entered entered, Location where) {
  auto ticket = impl_->acquire(entered, {.where = where});
  impl_->begin_lease(ticket.value(), where);
  return Lease(core_, *ticket);
}

Lease Pool::acquire(std::stop_token stop, Location where) {
  const detail::AcquireWish wish{.stop = std::move(stop), .where = where};
  impl_->tell_started(where);
  if (wish.stop.stop_requested()) impl_->refuse_stopped(wish).raise();
  auto ticket = impl_->acquire(core_->slots().enter(), wish);
  impl_->begin_lease(ticket.value(), where);
  return Lease(core_, *ticket);
}

Lease Pool::acquire(Deadline deadline, std::stop_token stop, Location where) {
  return try_acquire(deadline, std::move(stop), where).value();
}

Expected<Lease> Pool::try_acquire(Location where) {
  return try_acquire(Deadline::now(), {}, where);
}

Expected<Lease> Pool::try_acquire(Deadline deadline, std::stop_token stop, Location where) {
  const detail::AcquireWish wish{.deadline = deadline, .stop = std::move(stop), .where = where};
  if (warm_core_ == nullptr) [[unlikely]] {
    impl_->tell_started(where);
  }
  if (wish.stop.stop_requested()) return impl_->refuse_stopped(wish);
  return finish_acquire(enter_and_look(*core_), wish);
}

inline Expected<Lease> Pool::finish_acquire(core::Entered entered,
                                            const detail::AcquireWish& wish) {
  PoolCore& core = *core_;
  if (may_be_warm() && entered.entry == Entry::docked &&
      begin_if_ready(core, entered.ticket, wish.where)) [[likely]] {
    impl_->tell_served(entered.ticket, wish.where);
    return Lease(&core, entered.ticket);
  }
  auto ticket = impl_->acquire(entered, wish);
  if (!ticket) return ticket.error();
  impl_->begin_lease(*ticket, wish.where);
  return Lease(core_, *ticket);
}

// An idle connection is taken as try_acquire() takes it. `began_` is when the statement can begin,
// or begins to wait for a lane.
void Pool::begin_call(detail::LaneCall& call, bool may_share) {
  const ExecOptions& options = call.options_;
  const Sql sql = call.sql_;
  if (may_share && !impl_->inherited() && !options.stop.stop_requested()) {
    const auto text = impl_->lanes()->table().look_up(sql.text());
    call.hash_ = text.hash;
    call.is_known_ = text.may_travel;
    const auto join = [&] {
      const auto seat = impl_->lanes()->enter(text);
      if (!seat) return false;
      call.lane_ = seat->lane;
      call.place_ = seat->place;
      seat->lane->statement(seat->place).begin(sql, options);
      return true;
    };
    if (!impl_->lanes()->prefers(text) || !join()) {
      const auto entered = enter_and_look(*core_);
      if (entered.entry == Entry::docked) {
        impl_->tell_started(sql.where());
        detail::AcquireWish wish{.stop = options.stop, .where = sql.where()};
        if (!options.by.is_never()) {
          wish.deadline =
              earlier(options.by, impl_->timeout_from(std::chrono::steady_clock::now()));
        }
        call.lease_ = finish_acquire(entered, wish).value();
      } else if (entered.entry == Entry::admitted) {
        core_->slots().give_up(entered.ticket.gate());
        join();
      }
    }
  }
  if (!call.lease_ && call.lane_ == nullptr) {
    call.lease_ = acquire_within(options.by, options.stop, sql.where());
  }
  call.began_ = std::chrono::steady_clock::now();
}

std::vector<Lease> Pool::acquire_all_idle(Location where) {
  if (closed()) acquire(Deadline::now(), {}, where);  // throws
  impl_->begin_taking_idle(where);
  std::vector<Lease> leases;
  leases.reserve(config().max_size);
  while (leases.size() < config().max_size) {
    const auto ticket = impl_->take_idle();
    if (!ticket) break;
    impl_->tell_started(where);
    impl_->begin_lease(*ticket, where);
    impl_->tell_served(*ticket, where);
    leases.push_back(Lease(core_, *ticket));
  }
  return leases;
}

void Pool::ping(Location where) {
  const auto timeout = config().acquire_timeout;
  ping(timeout.count() > 0 ? Deadline(timeout) : Deadline::never(), where);
}

void Pool::ping(Deadline deadline, Location where) {
  Lease lease = acquire(deadline, {}, where);
  if (lease->ping(deadline)) return;
  if (lease->is_open()) {
    throw QueryTimeout({.message = "ping: the server has not answered in time"}, where);
  }
  throw ConnectionLost({.message = "ping: " + std::string(pq::PoolAccess(*lease).broken_reason())},
                       where);
}

bool Pool::warm_up(Deadline deadline, Location where) {
  return try_warm_up(deadline, where).has_value();
}

Expected<void> Pool::try_warm_up(Deadline deadline, Location where) {
  impl_->refuse_if_inherited(where);
  return impl_->warm_up(deadline, where);
}

void Pool::reset() {
  impl_->refuse_if_inherited({});
  impl_->begin_generation();
}

CloseReport Pool::close(const CloseOptions& options, Location where) {
  impl_->refuse_if_inherited(where);
  return impl_->close(options, where);
}

void Pool::announce_shutdown(std::string_view reason, Location where) {
  impl_->announce_shutdown(reason, where);
}

void Pool::request_close(const char* reason, Location where) noexcept {
  impl_->request_close(reason, where);
}

UserToken Pool::attach(std::string_view user_name, Location where) {
  impl_->refuse_if_inherited(where);
  return impl_->attach(user_name, where);
}

bool Pool::closed() const noexcept { return core_->slots().closed(); }

Stats Pool::stats() const {
  impl_->refuse_if_inherited({});
  return impl_->stats();
}

Health Pool::health() const { return impl_->health(); }

std::string Pool::debug_dump() const { return impl_->debug_dump(); }
std::vector<SlotInfo> Pool::slots() const { return impl_->slots(); }

std::vector<LeaseInfo> Pool::leases() const {
  impl_->refuse_if_inherited({});
  return detail::leases_of(*core_);
}

const PoolConfig& Pool::config() const noexcept { return impl_->config(); }

}  // namespace tidegate
