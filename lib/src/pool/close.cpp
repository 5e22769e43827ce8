// Closing a pool: fence, drain, report.
#include <tidegate/pool/close.hpp>

#include <algorithm>
#include <sstream>
#include <utility>

#include <tidegate/base/duration.hpp>
#include <tidegate/base/thread.hpp>
#include <tidegate/core/sync.hpp>

#include "events.hpp"
#include "hook_scope.hpp"
#include "pool_impl.hpp"

namespace tidegate {
namespace detail {
namespace {

constexpr std::size_t kHoldersShown = 3;

}  // namespace

CloseReport PoolImpl::close(const CloseOptions& options, Location where) {
  if (options.drain && options.drain->count() < 0) {
    throw UsageError("close: drain is " + format_duration(*options.drain) +
                         "; it must be 0 (do not wait) or more",
                     where);
  }
  if (InHook::of(*this)) {
    throw WouldDeadlock(name_, WouldDeadlock::Situation::close_on_pool_thread, {}, where);
  }
  const std::int32_t self = core::current_thread_id();
  std::vector<LeaseHolder> own = holders(config_.max_size);
  std::erase_if(own, [self](const LeaseHolder& holder) { return holder.thread_id != self; });
  if (!own.empty()) {
    throw WouldDeadlock(name_, WouldDeadlock::Situation::close_with_lease, own, where);
  }
  return close_anyway(options, where);
}

CloseReport PoolImpl::close_anyway(const CloseOptions& options, Location where) {
  using Clock = std::chrono::steady_clock;
  const auto began = Clock::now();
  CloseReport report;
  {
    std::unique_lock lock(close_mutex_);
    if (closed_) {  // somebody else does, or did it
      close_done_.wait(lock, [this] { return report_.has_value(); });
      return *report_;
    }
    // Published before the fence: whoever meets `closed` on a gate finds the record.
    closed_ = std::make_shared<ClosedReport>();
    closed_->pool = name_;
    closed_->max_size = config_.max_size;
    closed_->closer.where = where;
    closed_->closer.thread_id = core::current_thread_id();
    closed_->closer.thread_name = thread_name(closed_->closer.thread_id);
    closed_->closer.when = began;
    closed_->closer.reason = options.reason;
    closed_->closer.phase = "drain";
    const auto oldest = holders(config_.max_size);
    if (!oldest.empty()) {
      const auto shown = std::min(kHoldersShown, oldest.size());
      closed_->holders = std::make_shared<const std::string>(
          describe_holders({oldest.begin(), oldest.begin() + static_cast<std::ptrdiff_t>(shown)},
                           static_cast<std::uint32_t>(oldest.size() - shown)));
    }
    report.closer = closed_->closer;
    report.leases_at_close = static_cast<std::uint32_t>(oldest.size());
  }

  const auto phase = [this](std::string_view name) {
    tell(config_.observer, [name](Observer& o) { o.close_phase(name); });
  };
  phase("fence");
  const auto fenced = core_->slots().close();
  report.fence = Clock::now() - began;
  report.waiters_rejected = fenced.waiters;
  report.idle_closed = fenced.idle;
  core_->openers().stop_opening();
  phase("drain");

  const Deadline drain_end = Deadline(began) + options.drain.value_or(config_.close_drain);
  const bool drained = core_->slots().await_drained(drain_end);
  report.drain = Clock::now() - began - report.fence;
  if (!drained) {
    report.leases_orphaned = core_->slots().abandon();
    if (report.leases_orphaned > 0) report.outcome = CloseReport::Outcome::orphaned;
  }
  maintenance_.stop(drain_end);
  core_->openers().stop();  // it was still there for before_close
  phase(drained ? "done" : "orphaned");
  report.total = Clock::now() - began;

  std::lock_guard lock(close_mutex_);
  // A new object: errors made so far share the old one.
  auto ended = std::make_shared<ClosedReport>(*closed_);
  ended->closer.phase = drained ? "done" : "orphaned";
  if (drained) ended->holders = nullptr;
  closed_ = std::move(ended);
  report.closer.phase = closed_->closer.phase;
  report_ = report;
  close_done_.notify_all();
  return report;
}

}  // namespace detail

std::string_view to_string(CloseReport::Outcome outcome) noexcept {
  return outcome == CloseReport::Outcome::drained ? "drained" : "orphaned";
}

std::string to_string(const CloseReport& report) {
  std::ostringstream out;
  out << "closed by " << report.closer.where.to_string();
  if (!report.closer.reason.empty()) out << ", reason \"" << report.closer.reason << '"';
  out << ": " << to_string(report.outcome) << " in " << brief_duration(report.total) << "\n  fence "
      << brief_duration(report.fence) << ": " << report.waiters_rejected
      << " waiting acquires told, " << report.idle_closed << " idle connections closed"
      << "\n  drain " << brief_duration(report.drain) << ": " << report.leases_at_close
      << " leases were out, " << report.leases_orphaned << " still are";
  return out.str();
}

}  // namespace tidegate
