// PoolImpl: what a Pool is made of, other than the core that leases refer to.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/expected.hpp>
#include <tidegate/pool/close.hpp>
#include <tidegate/pool/config.hpp>
#include <tidegate/pool/errors.hpp>
#include <tidegate/watch/stats.hpp>

#include "maintenance.hpp"
#include "pooled_connection.hpp"

namespace tidegate::detail {

// What an acquire asks for. No deadline: the configured one, from the moment it has to wait.
struct AcquireWish {
  std::optional<Deadline> deadline{};
  std::stop_token stop{};
  Location where{};
};

class PoolImpl {
 public:
  // Throws as Pool's constructor.
  PoolImpl(PoolConfig config, Location where);

  PoolCore& core() noexcept { return *core_; }
  const PoolConfig& config() const noexcept { return config_; }

  // The part of an acquire that the warm path does not cover: the ticket of a connection that has
  // passed its check, or the error.
  using Entered = core::Entered;
  Expected<core::Ticket> acquire(Entered entered, const AcquireWish& wish);
  // The stop was requested before anything was done.
  ErrorValue refuse_stopped(const AcquireWish& wish);

  CloseReport close(const CloseOptions& options, Location where);
  // As close(), but on whatever thread, and whatever it holds (the destructor).
  CloseReport close_anyway(const CloseOptions& options, Location where);
  void reset() noexcept;
  Stats stats() const;

 private:
  struct Search : core::Search {
    std::chrono::steady_clock::time_point began{};
  };
  bool check(const core::Found& found, const Search& search);

  ErrorValue explain(Errc error, const AcquireWish& wish, const Search& search);
  ErrorValue explain_closed(Location where);
  ErrorValue explain_connect(Errc error, const AcquireReport& report, Location where);
  AcquireReport report_of(const AcquireWish& wish, const Search& search);
  std::vector<LeaseHolder> holders(std::size_t most) const;

  struct Unref {
    void operator()(PoolCore* core) const noexcept { core->unref(); }
  };

  // Fixed after construction.
  const PoolConfig config_;
  const std::string name_;
  const std::unique_ptr<PoolCore, Unref> core_;
  Maintenance maintenance_;

  // Close. The record is published before the fence, so whoever meets the fence finds it.
  mutable std::mutex close_mutex_;
  std::condition_variable close_done_;
  std::shared_ptr<ClosedReport> closed_;  // close_mutex_; null = open
  std::optional<CloseReport> report_;     // close_mutex_; set = close has ended
};

// "worker-3": the name of a thread of this process; empty when it is gone or has none.
std::string thread_name(long thread_id);

}  // namespace tidegate::detail
