#include "pool/pending_acquire.hpp"

#include <chrono>
#include <utility>

#include <tidegate/base/test_point.hpp>

namespace tidegate::detail {

PendingAcquire::PendingAcquire(std::shared_ptr<PoolImpl> pool, std::optional<Deadline> deadline,
                               Location where)
    : pool_(std::move(pool)), core_(*pool_->core_), wish_{.deadline = deadline, .where = where} {
  search_.began = std::chrono::steady_clock::now();
  search_.where = where;
  search_.pool = pool_.get();
  search_.leaves_pings = true;
  search_.deadline = deadline ? *deadline : pool_->timeout_from(search_.began);
  waiter_.called_back = &PendingAcquire::called_back;
  waiter_.owner = this;
}

PendingAcquire::Ended PendingAcquire::begin(async::Acquire::Ready ready, void* context) {
  pool_->tell_started(wish_.where);
  if (pool_->inherited()) return pool_->inherited_error(wish_.where);
  const core::Entered entered = core_.slots().enter();
  gate_ = entered.ticket.gate();
  {
    const Lock lock(mutex_);
    ready_ = ready;
    context_ = context;
  }
  return step([&](auto&& check) { return core_.begin_acquire(entered, search_, waiter_, check); });
}

PendingAcquire::Ended PendingAcquire::go_on() {
  {
    const Lock lock(mutex_);
    told_ = false;
  }
  return step([&](auto&& check) { return core_.go_on_acquiring(found_, search_, waiter_, check); });
}

// One turn. Before it the node is made the pool's, because the turn may be over, and this object
// gone, as soon as the search waits.
template <class Step>
PendingAcquire::Ended PendingAcquire::step(Step&& step) {
  const auto keep = shared_from_this();
  {
    const Lock lock(mutex_);
    waits_ = true;
  }
  self_ = keep;
  try {
    const std::optional<core::Found> found =
        step([this](const core::Found& at) { return pool_->check(at, search_); });
    if (!found) return std::nullopt;
    return settle(*found);
  } catch (...) {  // usually out of memory for the error
    {
      const Lock lock(mutex_);
      waits_ = false;
    }
    self_.reset();
    if (!search_.error) search_.error = Errc::unavailable;
    pool_->tell_ended(search_);
    throw;
  }
}

// The search is over: the lease, or the error.
PendingAcquire::Ended PendingAcquire::settle(const core::Found& found) {
  {
    const Lock lock(mutex_);
    waits_ = false;
  }
  self_.reset();
  search_.waited = found.waited;
  search_.error = found.error;
  if (!found.error) {
    pool_->begin_lease(found.ticket, wish_.where);
    pool_->tell_ended(search_);
    return Expected<Lease>(Lease(&core_, found.ticket));
  }
  if (search_.failure) {
    pool_->tell_ended(search_);
    return Expected<Lease>(*search_.failure);
  }
  ErrorValue error = pool_->explain(*found.error, wish_, search_);
  pool_->tell_ended(search_);
  return Expected<Lease>(std::move(error));
}

void PendingAcquire::called_back(Node& node) noexcept {
  auto& self = *static_cast<PendingAcquire*>(node.owner);
  TIDEGATE_TEST_POINT("async.before_told");
  const std::shared_ptr<PendingAcquire> keep = std::move(self.self_);
  const core::Found found = self.core_.slots().end_find(self.gate_, self.search_, node);
  Lock lock(self.mutex_);
  self.waits_ = false;
  if (self.ready_ == nullptr) {
    lock.unlock();
    return self.drop(found);
  }
  self.found_ = found;
  self.told_ = true;
  self.ready_(self.context_);
  lock.unlock();
  TIDEGATE_TEST_POINT("async.told");
}

PendingAcquire::Ended PendingAcquire::end_as(std::uint32_t word) {
  if (!core_.slots().withdraw(*waiter_.node, word)) return std::nullopt;
  const auto found = core_.slots().end_find(gate_, search_, *waiter_.node);
  return settle(core_.count_failed(found, search_.since));
}

void PendingAcquire::abandon() noexcept {
  const std::shared_ptr<PoolImpl> pool = std::move(pool_);  // ends, if it does, after the rest
  bool waits = false;
  bool told = false;
  {
    const Lock lock(mutex_);
    ready_ = nullptr;
    waits = waits_;
    told = std::exchange(told_, false);
  }
  if (!waits && !told) return;  // it had ended
  search_.error = Errc::canceled;
  core_.count_failed({Errc::canceled, {}, true}, search_.since);
  pool->tell_ended(search_);
  if (told) return drop(found_);
  if (!core_.slots().withdraw(*waiter_.node, core::wait_word::kCanceled)) return;
  self_.reset();
  drop(core_.slots().end_find(gate_, search_, *waiter_.node));
}

// Nobody wants what the search has found. As the last touch of the core, which may be gone then.
void PendingAcquire::drop(const core::Found& found) noexcept {
  if (!found.error) core_.give_back_unleased(found.ticket);
}

}  // namespace tidegate::detail
