#include <tidegate/pq/cancel_group.hpp>

#include <algorithm>

#include "pq/cancel/canceller.hpp"

namespace tidegate::pq {

namespace {

std::optional<std::chrono::milliseconds> within_reason(
    std::optional<std::chrono::milliseconds> quiet) {
  if (quiet) quiet = std::clamp<std::chrono::milliseconds>(*quiet, {}, std::chrono::hours(24));
  return quiet;
}

}  // namespace

CancelGroup::CancelGroup(std::uint32_t per_second, std::optional<std::chrono::milliseconds> quiet)
    : books_(std::make_shared<CancelBooks>(per_second, within_reason(quiet))) {}

CancelGroup::~CancelGroup() = default;

// Relaxed: statistics.
std::uint64_t CancelGroup::sent() const noexcept {
  return books_->sent.load(std::memory_order_relaxed);
}
std::uint64_t CancelGroup::unsent() const noexcept {
  return books_->unsent.load(std::memory_order_relaxed);
}
std::uint64_t CancelGroup::failed() const noexcept {
  return books_->failed.load(std::memory_order_relaxed);
}
std::uint64_t CancelGroup::stuck() const noexcept {
  return books_->stuck.load(std::memory_order_relaxed);
}

// Null: no request was ever made.
std::shared_ptr<Canceller> CancelGroup::used() noexcept {
  const detail::Lock lock(mutex_);
  return canceller_;
}

void CancelGroup::give_up() noexcept {
  if (const auto canceller = used()) canceller->give_up(*books_);
}

std::vector<CancelGroup::Hanging> CancelGroup::hanging(Deadline deadline) {
  const auto canceller = used();
  return canceller ? canceller->hanging(*books_, deadline) : std::vector<Hanging>();
}

Canceller& CancelGroup::canceller() {
  const detail::Lock lock(mutex_);
  if (!canceller_) canceller_ = Canceller::shared();
  return *canceller_;
}

}  // namespace tidegate::pq
