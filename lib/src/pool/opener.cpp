#include "opener.hpp"

#include <tidegate/pool/connect_error.hpp>
#include <tidegate/pq/conninfo.hpp>

namespace tidegate::detail {
namespace {

std::string describe_address(const pq::FailedAttempt& attempt) {
  if (attempt.address.empty()) return attempt.host + ":" + attempt.port;
  if (attempt.address == attempt.host) return attempt.address + ":" + attempt.port;
  return attempt.host + " (" + attempt.address + ":" + attempt.port + ")";
}

ErrorValue explain(const std::string& pool, const pq::ConnectFailure& failure) {
  if (failure.cause.kind == pq::ConnectFault::aborted) {
    return ErrorValue::of(Error(Errc::canceled, "connect aborted: the pool is closing"));
  }
  ConnectReport report;
  report.pool = pool;
  report.text = failure.cause.text;
  report.sqlstate = failure.cause.sqlstate;
  report.attempts = 1;
  report.since = report.last = report.at = std::chrono::steady_clock::now();
  for (const pq::FailedAttempt& attempt : failure.attempts) {
    report.addresses.push_back({describe_address(attempt), attempt.text});
  }
  const Errc code =
      failure.cause.kind == pq::ConnectFault::rejected ? Errc::rejected : Errc::unavailable;
  return ErrorValue::of(ConnectError(code, std::move(report)));
}

}  // namespace

Opener::Opener(const PoolConfig& config) : pool_(config.effective_name()) {
  if (auto parsed = pq::parse_conninfo(config.conninfo)) {
    for (pq::ConninfoOption& option : *parsed) {
      options_.params.emplace_back(std::move(option.keyword), std::move(option.value));
    }
  }
  // The fallback: conninfo and PGAPPNAME win.
  options_.params.emplace_back("fallback_application_name", "tidegate/" + pool_);
}

Expected<PooledConnection> Opener::open(const std::stop_token& stop, Deadline deadline) const {
  pq::ConnectOutcome outcome = pq::connect(options_, stop, deadline);
  if (!outcome) return explain(pool_, *outcome.failure);
  return PooledConnection{std::move(outcome.connection), std::move(outcome.duplicate)};
}

}  // namespace tidegate::detail
