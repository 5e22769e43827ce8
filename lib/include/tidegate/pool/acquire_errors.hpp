// An acquire that gave up: its time was over, it was stopped, or too many wait already.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tidegate/base/error.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/core/counts.hpp>
#include <tidegate/pool/closed_error.hpp>

namespace tidegate {

// What an acquire knew when it gave up. Plain data.
struct AcquireReport {
  std::string pool{};
  PoolCounts counts{};
  // The time it had; zero = only if it needs no waiting, unset = for ever.
  std::optional<std::chrono::nanoseconds> allowed{};
  bool allowed_by_config = false;  // `allowed` is the pool's acquire_timeout
  std::chrono::nanoseconds waited{};
  std::uint32_t silent = 0;  // idle connections that it found, and that did not answer a ping soon
  std::optional<LeaseHolder> longest{};  // the lease that is out for the longest time
  // All leases, the oldest first, when the thread that wants one has acquired or last used each of
  // them; else none.
  std::vector<LeaseHolder> own{};
  std::string last_connect{};  // why the pool does not grow, when connects fail: one line
};

// The deadline passed while every connection was leased, being opened, checked or closed. The
// counts are those of the moment after it: what() says what they show, whatever that is. Copies
// share the report, so copying does not throw.
class TIDEGATE_API AcquireTimeout : public Error {
 public:
  enum class Cause {
    exhausted,        // all are leased, or were until a moment ago
    connecting_slow,  // connects are under way, or wait to try again, and did not finish in time
    checking,         // free ones are being checked or cleaned
    retiring,         // some are being closed, and the server has not ended them yet
    not_growing,      // there is room for more, and no connect is under way
  };
  AcquireTimeout(AcquireReport report, Cause cause, Location where = {});
  AcquireTimeout(const AcquireTimeout&) = default;
  AcquireTimeout& operator=(const AcquireTimeout&) = default;
  ~AcquireTimeout() override;

  const PoolCounts& counts() const noexcept { return report_->counts; }
  Cause cause() const noexcept { return cause_; }
  std::chrono::nanoseconds waited() const noexcept { return report_->waited; }

 private:
  std::shared_ptr<const AcquireReport> report_;
  Cause cause_;
};
// "exhausted", "connecting_slow", "checking", "retiring", "not_growing".
TIDEGATE_API std::string_view to_string(AcquireTimeout::Cause cause) noexcept;

// The acquire's stop_token was triggered.
class TIDEGATE_API AcquireCanceled : public Error {
 public:
  explicit AcquireCanceled(const AcquireReport& report, Location where = {});
  ~AcquireCanceled() override;

  const PoolCounts& counts() const noexcept { return counts_; }
  std::chrono::nanoseconds waited() const noexcept { return waited_; }

 private:
  PoolCounts counts_;
  std::chrono::nanoseconds waited_;
};

// max_waiters acquires wait already, so this one was refused at once.
class TIDEGATE_API Overloaded : public Error {
 public:
  Overloaded(const AcquireReport& report, std::uint32_t max_waiters, Location where = {});
  ~Overloaded() override;

  const PoolCounts& counts() const noexcept { return counts_; }
  std::uint32_t max_waiters() const noexcept { return max_waiters_; }

 private:
  PoolCounts counts_;
  std::uint32_t max_waiters_;
};

}  // namespace tidegate
