// Hooks: the user's code at the turning points in the life of a connection.
#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <tidegate/base/export.hpp>

namespace tidegate {

class Connection;

// What a connect is told: libpq's keywords with their values, as the conninfo has them.
class TIDEGATE_API ConnectParams {
 public:
  using Entries = std::vector<std::pair<std::string, std::string>>;

  ConnectParams() = default;
  explicit ConnectParams(Entries entries) noexcept : entries_(std::move(entries)) {}

  // Empty when it is not given; libpq's own defaults are not known here.
  std::string_view get(std::string_view keyword) const noexcept;
  // An empty value is one that is not given.
  void set(std::string_view keyword, std::string value);
  const Entries& entries() const noexcept { return entries_; }

 private:
  Entries entries_{};
};

// What prepare says of the connection that an acquire is about to hand out.
class TIDEGATE_API Verdict {
 public:
  enum class Kind {
    use,
    retry,             // close it and take the next; the place in the queue is kept
    keep_and_fail,     // back into the pool as if released; the acquire throws HookError
    discard_and_fail,  // closed; the acquire throws HookError
  };
  // Nested in the HookError, or its text.
  using Reason = std::variant<std::string, std::exception_ptr>;

  static Verdict use() noexcept { return Verdict(Kind::use, {}); }
  static Verdict retry() noexcept { return Verdict(Kind::retry, {}); }
  static Verdict keep_and_fail(std::exception_ptr cause) noexcept {
    return Verdict(Kind::keep_and_fail, std::move(cause));
  }
  static Verdict keep_and_fail(std::string text) noexcept {
    return Verdict(Kind::keep_and_fail, std::move(text));
  }
  static Verdict discard_and_fail(std::exception_ptr cause) noexcept {
    return Verdict(Kind::discard_and_fail, std::move(cause));
  }
  static Verdict discard_and_fail(std::string text) noexcept {
    return Verdict(Kind::discard_and_fail, std::move(text));
  }

  Kind kind() const noexcept { return kind_; }
  const Reason& reason() const noexcept { return reason_; }

 private:
  Verdict(Kind kind, Reason reason) noexcept : kind_(kind), reason_(std::move(reason)) {}

  Kind kind_;
  Reason reason_;
};

// Called outside every lock, each by several threads at once; a throw never costs a slot. A query
// in a hook that has no deadline of its own ends at the bound given here, or when the pool stops. A
// hook may acquire from its own pool only what needs no waiting, and must not close it:
// WouldDeadlock.
struct Hooks {
  // Connector, before each connect; `params` is a copy (a rotated password, a token that expires).
  // A throw: the connect has failed as unavailable and is retried; ConnectError names the hook.
  std::function<void(ConnectParams& params)> before_connect{};
  // Connector, before anybody sees the connection; within pool_connect_timeout. A throw: as above.
  std::function<void(Connection&)> after_connect{};
  // Acquirer, before each hand-out; within the acquire's deadline and stop. A throw:
  // discard_and_fail.
  std::function<Verdict(Connection&)> prepare{};
  // Acquirer, instead of pool_ping_after; must not block. A throw: yes.
  std::function<bool(const Connection&, std::chrono::nanoseconds idle)> should_ping{};
  // Connector, after each release, before anybody else gets the connection; within
  // pool_ping_timeout. False or a throw: the connection is closed.
  std::function<bool(Connection&)> after_release{};
  // Connector, before a connection that works is closed; within pool_ping_timeout. A throw is
  // reported to the observer. Not for those that were hijacked, or come back after the pool is
  // gone.
  std::function<void(Connection&)> before_close{};
};

}  // namespace tidegate
