// Opens the connections of a pool; runs on opener threads.
#pragma once

#include <atomic>
#include <memory>
#include <stop_token>
#include <string>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/expected.hpp>
#include <tidegate/base/histogram.hpp>
#include <tidegate/base/live_histogram.hpp>
#include <tidegate/core/openers.hpp>
#include <tidegate/pool/config.hpp>
#include <tidegate/pq/connect.hpp>

#include "pool/pooled_connection.hpp"
#include "pool/upkeep/error_classes.hpp"

namespace tidegate::detail {

class PoolImpl;

class Connector {
 public:
  // Needs: a valid configuration; `pool` outlives this.
  Connector(const PoolImpl& pool, const PoolConfig& config,
            std::shared_ptr<pq::CancelGroup> cancels);

  // Connects, with before_connect before it and after_connect behind it. An error has the code
  // unavailable, rejected, or (stopped) canceled; the first two are a ConnectError with what this
  // attempt has shown. If a given-up connect returns late, nobody gets or hears of it: see
  // overdue().
  Expected<PooledConnection> open(const std::stop_token& stop, Deadline deadline) const;
  // The error for a connect that nobody waits for any more. The observer is told that it ended.
  ErrorValue overdue(const core::Overdue& how) const;
  // How long the connects took that made a connection.
  Histogram times() const { return times_->snapshot(); }
  // The servers' refusals.
  ErrorClasses::Counts refusals() const { return refusals_->counts(); }

 private:
  Expected<PooledConnection> connect_or_tell(const std::stop_token& stop, Deadline deadline) const;
  Expected<PooledConnection> connect(const std::stop_token& stop, Deadline deadline) const;
  void note_pooler(const Connection& connection) const noexcept;
  std::string note_dropped(const pq::ConnectOptions& options, const Connection& connection) const;
  void end(PooledConnection& unfit, const std::stop_token& stop) const noexcept;
  ErrorValue hook_failed(const char* hook) const;

  const PoolImpl& pool_;
  std::string name_;
  pq::ConnectOptions options_;
  bool wants_primary_ = false;
  Hooks hooks_;
  bool captures_stacks_;
  bool is_strict_;
  std::shared_ptr<const ReleaseRules> rules_;
  // Set when a connection went through a pooler. Copies of the Connector share it.
  std::shared_ptr<std::atomic<bool>> meets_pooler_ = std::make_shared<std::atomic<bool>>(false);
  // The dropped parameters already told of: 1 << DroppedParameter::number. Shared likewise.
  std::shared_ptr<LiveHistogram> times_ = std::make_shared<LiveHistogram>();  // shared likewise
  std::shared_ptr<ErrorClasses> refusals_ = std::make_shared<ErrorClasses>();
  std::shared_ptr<std::atomic<unsigned>> told_dropped_ = std::make_shared<std::atomic<unsigned>>(0);
};

}  // namespace tidegate::detail
