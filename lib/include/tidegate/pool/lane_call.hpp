// LaneCall: one statement of a pool with lanes, on its way.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/base/sql.hpp>
#include <tidegate/pool/lease.hpp>
#include <tidegate/pq/exec_options.hpp>
#include <tidegate/pq/params.hpp>
#include <tidegate/pq/rows.hpp>

namespace tidegate {

class Pool;
namespace pq {
class ObservedQuery;
}

namespace detail {

class Lane;
class PoolImpl;

// For Pool's templates alone. The statement has a lease of its own, or else a place on a lane.
class TIDEGATE_API LaneCall {
 public:
  LaneCall(const LaneCall&) = delete;
  LaneCall& operator=(const LaneCall&) = delete;
  ~LaneCall();

  bool has_lease() const noexcept { return static_cast<bool>(lease_); }
  Lease& lease() noexcept { return lease_; }

  // Without a lease: the parameters, and then the rows; nothing when the statement is to go another
  // way. Throws: as Pool's acquiring verbs and Connection's verbs.
  Params& params() noexcept;
  std::optional<Rows> run();
  // After run(): another try on a lane may be worth while.
  bool fits() const noexcept { return fits_; }

 private:
  friend class tidegate::Pool;
  LaneCall(std::shared_ptr<PoolImpl> pool, const ExecOptions& options, Sql sql) noexcept;
  std::optional<Rows> run_observed();
  std::optional<Rows> run_on_lane(pq::ObservedQuery* observed);

  const std::shared_ptr<PoolImpl> pool_;
  const ExecOptions& options_;
  const Sql sql_;
  Lease lease_{};
  Lane* lane_ = nullptr;  // where it has a place
  std::uint32_t place_ = 0;
  // The statement's text in the pool's table, and when the call began.
  std::uint64_t hash_ = 0;
  bool is_known_ = false;
  bool fits_ = true;
  std::chrono::steady_clock::time_point began_{};
};

}  // namespace detail
}  // namespace tidegate
