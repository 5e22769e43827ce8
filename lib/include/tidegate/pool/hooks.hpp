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

// The parameters of one connect: libpq's keywords with their values, as in the conninfo.
class TIDEGATE_API ConnectParams {
 public:
  using Entries = std::vector<std::pair<std::string, std::string>>;

  ConnectParams() = default;
  explicit ConnectParams(Entries entries) noexcept : entries_(std::move(entries)) {}

  // Returns an empty text for a keyword that is not given; libpq's own defaults are not known here.
  std::string_view get(std::string_view keyword) const noexcept;
  // An empty value means that the keyword is not given.
  void set(std::string_view keyword, std::string value);
  const Entries& entries() const noexcept { return entries_; }

 private:
  Entries entries_{};
};

// The verdict of prepare on the connection that an acquire is about to hand out.
class TIDEGATE_API Verdict {
 public:
  enum class Kind {
    use,
    retry,             // close it, take the next one; the acquire keeps its place in the queue
    keep_and_fail,     // put the connection back as if released; the acquire throws HookError
    discard_and_fail,  // close the connection; the acquire throws HookError
  };
  // The exception to nest in the HookError, or the text of the HookError.
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

// The pool calls hooks outside every lock, and each by several threads at once; a throw never costs
// a slot. A query in a hook without a deadline of its own ends at the bound given here, or when the
// pool stops. A hook gets WouldDeadlock if it closes its own pool, or acquires from it and the
// acquire would have to wait.
struct Hooks {
  // On a connecting thread, before each connect; `params` is a copy (a rotated password, a token
  // that expires). If it throws, the connect fails as unavailable and is retried; ConnectError
  // names the hook.
  std::function<void(ConnectParams& params)> before_connect{};
  // On a connecting thread, before anybody sees the connection; within pool_connect_timeout. If it
  // throws: as above.
  std::function<void(Connection&)> after_connect{};
  // On the acquiring thread, before each hand-out; within the acquire's deadline and stop. If the
  // hook throws: discard_and_fail.
  std::function<Verdict(Connection&)> prepare{};
  // On the acquiring thread, instead of pool_ping_after; must not block. If it throws: yes.
  std::function<bool(const Connection&, std::chrono::nanoseconds idle)> should_ping{};
  // On a connecting thread, after each release, before anybody else gets the connection; within
  // pool_ping_timeout. If it returns false or throws, the connection is closed.
  std::function<bool(Connection&)> after_release{};
  // On a connecting thread, before a working connection is closed; within pool_ping_timeout. The
  // observer is told of a throw. Not called for a connection that was hijacked, or that comes back
  // after the pool is gone.
  std::function<void(Connection&)> before_close{};
};

}  // namespace tidegate
