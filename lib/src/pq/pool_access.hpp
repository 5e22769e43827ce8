// PoolAccess: what a pool does with a connection, and its users do not.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string_view>

#include <tidegate/pq/connection.hpp>
#include <tidegate/pq/session_monitor.hpp>
#include <tidegate/pq/session_state.hpp>

namespace tidegate::pq {

// A view of one connection, which may be closed; made where it is used, and as cheap as a pointer.
class PoolAccess {
 public:
  explicit PoolAccess(const Connection& connection) noexcept : state_(connection.state_) {}

  // The login is over: drops ConnectOptions::on_notice, unless another handler has replaced it.
  void end_login() const noexcept;
  // From here on the connection is leased. A lease begins in the state in which the last one ended
  // (reusable() was true then), so nobody reports the begin.
  void join_pool() const noexcept {
    if (state_ != nullptr) state_->join_pool();
  }
  // For a connection that is observed. `acquired_at(pool, connection)`: the acquire of the lease
  // that it is in. leave_pool(): from here on it may outlive the pool.
  using AcquiredAt = Location (*)(const void* pool, const Connection& connection) noexcept;
  void enter_pool(AcquiredAt acquired_at, const void* pool) const noexcept;
  void leave_pool() const noexcept { enter_pool(nullptr, nullptr); }
  // See SessionState.
  void mark_use() const noexcept {
#ifdef TIDEGATE_CHECKED
    if (state_ != nullptr) state_->mark_use();
#endif
  }
  // A lease ends: may the next one have the connection as it is? Checks status, transaction, unread
  // results, pipeline mode and doom. No system call, and no call of libpq unless the lease used it.
  // Promises: when true, blocking mode and libpq's callbacks are as the library keeps them, also
  //           after native_handle(), and the lease's notice handler is gone.
  bool reusable() const noexcept {
    return state_ != nullptr && (state_->end_unused_lease() || end_touched_lease());
  }
  // The cheap half of reusable(): the lease did nothing to the connection, so the next may have it.
  bool untouched() const noexcept { return state_ != nullptr && state_->end_untouched_lease(); }
  // For other threads, instead of activity() and cancel(), where somebody may close or move the
  // connection meanwhile.
  SessionMonitor monitor() const noexcept;
  // Neither doomed nor broken. Field reads only.
  bool usable() const noexcept {
    return state_ != nullptr && !state_->has(Flag::doomed) &&
           (!state_->has(Flag::native) || native_ok());
  }
  // Has the server closed, or said that it will? One poll(2) when the server has sent nothing; else
  // this reads what the server sent and drops notifications. Needs: no lease, an idle connection.
  SocketCheck check_socket() const noexcept;
  // Non-blocking pings for a poll loop: ping_step(Deadline::now()) sends a ping if none is under
  // way, reads what is there and reports. Call it again when socket() is readable (or, seldom,
  // writable).
  PingResult ping_step(Deadline deadline) const noexcept;
  // From here on untouched() is false, so that every end of a lease takes the pool's slow path.
  void inspect_every_lease() const noexcept {
    if (state_ != nullptr) state_->set(Flag::inspected);
  }
  // From here on reusable() is false once the server turns out to be no primary.
  void watch_role() const noexcept;
  // What the server is, as far as it has said; always primary unless watched. No system call.
  Role role() const noexcept;
  // What cancel requests may still do. Unless this is `none`, reusable() is false: wait until this
  // is `delivered`, make one empty round trip (ping_step) that absorbs a late 57014, then call
  // cancel_settled(). `doubtful` never ends: retire the connection. Non-blocking.
  CancelTrace cancel_trace() const noexcept;
  void cancel_settled() const noexcept;
  // Has the server cancel what native_handle() left running; for a connection that is about to be
  // closed. Does not wait.
  void cancel_left_running() const noexcept;
  // The connection is not used again after this lease. The lease may go on with it.
  void doom() const noexcept {
    if (state_ != nullptr) state_->set(Flag::doomed);
  }
  // True when a verb is under way, so that the caller is code that the verb has called.
  bool in_verb() const noexcept;
  // The lease ends. While a verb is under way, the end waits: the verb calls end(what, which) when
  // it is over, on its thread. Returns: true when the end waits.
  bool end_lease_behind_verb(Verb::End end, void* what, std::uint64_t which) const noexcept;
  // From here on every statement ends at `by` or `stop` at the latest, whatever its ExecOptions say
  // (for hooks); bound({}, {}) lifts that.
  void bound(Deadline by, std::stop_token stop) const noexcept;
  // Transaction objects that outlive the lease do not touch the connection any more.
  void leave_transaction() const noexcept;
  // Why the connection is broken: the server's last words if there were some ("57P01: terminating
  // ..."). Empty when it is not broken; valid until the connection is closed.
  std::string_view broken_reason() const noexcept;
  int socket() const noexcept;  // -1 when closed or broken

  // Needs: not closed.
  Session& session() const noexcept;

 private:
  using Flag = SessionState::Flag;

  bool end_touched_lease() const noexcept;
  bool native_ok() const noexcept;

  SessionState* const state_;
};

}  // namespace tidegate::pq
