// Errors of an acquire that gave up: its time was over, it was stopped, or too many wait already.
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
  // How long the acquire was allowed to wait; zero = not at all, unset = for ever.
  std::optional<std::chrono::nanoseconds> allowed{};
  bool allowed_by_config = false;  // `allowed` is the pool's acquire_timeout
  std::chrono::nanoseconds waited{};
  std::uint32_t silent = 0;  // idle connections it found that did not answer a ping soon
  std::optional<LeaseHolder> longest{};  // the lease that has been out longest
  // All leases, the oldest first, if the acquiring thread has acquired or last used every one of
  // them; otherwise empty.
  std::vector<LeaseHolder> own{};
  std::string last_connect{};  // if connects fail: why the pool does not grow, in one line
};

// The deadline passed while every connection was leased, being opened, checked or closed. counts()
// is taken just after the deadline, and what() describes those counts, whatever they show. Copies
// share the report, so copying does not throw.
class TIDEGATE_API AcquireTimeout : public Error {
 public:
  enum class Cause {
    exhausted,        // all connections are leased, or were until a moment ago
    connecting_slow,  // connects are under way, or wait to try again, and did not finish in time
    checking,         // free connections are being checked or cleaned
    retiring,         // some connections are being closed, and the server has not ended them yet
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
