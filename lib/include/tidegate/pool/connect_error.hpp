// ConnectError: the server cannot be reached, or refuses us.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <tidegate/base/error.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>

namespace tidegate {

// One address that was tried, and why that failed.
struct AddressFailure {
  std::string address{};  // "db1 (192.0.2.7:5432)", "/run/postgresql/.s.PGSQL.5432"
  std::string reason{};
};

// What is known of the connects that failed since the last one that succeeded. Plain data.
struct ConnectReport {
  // Where the last connect failed. `hook`: before_connect or after_connect threw or left the
  // connection unusable. `process`: in this process, for want of memory, for example.
  enum class Where { server, hook, process };
  std::string pool{};
  Where failed_in = Where::server;
  std::string text{};      // of the last failure: the server's words, the system's, or ours
  std::string sqlstate{};  // empty when the server gave none
  std::uint32_t attempts = 0;
  std::chrono::steady_clock::time_point since{};      // of the first of them
  std::chrono::steady_clock::time_point last{};       // of the last of them
  std::chrono::steady_clock::time_point at{};         // when this report was made
  std::optional<std::chrono::nanoseconds> next_in{};  // until the next attempt, if one is planned
  std::vector<AddressFailure> addresses{};            // of the last attempt
  // For the acquire that gets this error: how long it might wait, and did. Unset: no deadline.
  std::optional<std::chrono::nanoseconds> allowed{};
  std::chrono::nanoseconds waited{};
};

// Code `unavailable` (unreachable: refused, timeout, starting up, DNS; or a hook failed) or
// `rejected` (password, database, TLS, an option that libpq or the server does not accept, ...).
// Copies share the report, so copying does not throw.
class TIDEGATE_API ConnectError : public Error {
 public:
  // Needs: code is unavailable or rejected.
  ConnectError(Errc code, ConnectReport report, Location where = {});
  ConnectError(const ConnectError&) = default;
  ConnectError& operator=(const ConnectError&) = default;
  ~ConnectError() override;

  const std::string& server_text() const noexcept { return report_->text; }
  const std::string& sqlstate() const noexcept { return report_->sqlstate; }
  std::uint32_t attempts() const noexcept { return report_->attempts; }
  std::chrono::steady_clock::time_point since() const noexcept { return report_->since; }
  const std::vector<AddressFailure>& addresses() const noexcept { return report_->addresses; }
  const ConnectReport& report() const noexcept { return *report_; }

 private:
  std::shared_ptr<const ConnectReport> report_;
};

}  // namespace tidegate
