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

  // The login is over: ConnectOptions::on_notice gets no more, unless it has been replaced.
  void end_login() const noexcept;
  // From here on the connection is leased. A lease begins with the state in which the last one
  // ended (reusable() was true then), so its begin is not told.
  void join_pool() const noexcept {
    if (state_ != nullptr) state_->join_pool();
  }
  // See SessionState.
  void mark_use() const noexcept {
#ifdef TIDEGATE_CHECKED
    if (state_ != nullptr) state_->mark_use();
#endif
  }
  // A lease ends: may the next one have it as it is? Status, transaction, unread results, pipeline
  // mode and doom are looked at. No system call, and no call of libpq unless the lease used it.
  // Promises: when true, blocking mode and libpq's callbacks are as the library keeps them, also
  //           after native_handle(), and the lease's notice handler is gone.
  bool reusable() const noexcept {
    return state_ != nullptr && (state_->end_unused_lease() || end_touched_lease());
  }
  // The cheap half of it: the lease did nothing to the connection, so the next one may have it.
  bool untouched() const noexcept { return state_ != nullptr && state_->end_untouched_lease(); }
  // For other threads, in place of activity() and cancel() where the connection may be closed or
  // moved meanwhile.
  SessionMonitor monitor() const noexcept;
  // Neither doomed nor broken. Field reads only.
  bool usable() const noexcept {
    return state_ != nullptr && !state_->has(Flag::doomed) &&
           (!state_->has(Flag::native) || native_ok());
  }
  // Has the server closed, or said that it will? One poll(2) when it has sent nothing; else what it
  // sent is read, and notifications are dropped. Needs: no lease, an idle connection.
  SocketCheck check_socket() const noexcept;
  // Non-blocking pings for a poll loop: ping_step(Deadline::now()) sends if none is under way,
  // reads what is there and tells; call it again when socket() is readable (or, seldom, writable).
  PingResult ping_step(Deadline deadline) const noexcept;
  // From here on untouched() is false, so that every end of a lease comes to the pool's slow path.
  void inspect_every_lease() const noexcept {
    if (state_ != nullptr) state_->set(Flag::inspected);
  }
  // From here on a server that turns out to be no primary makes the connection not reusable().
  void watch_role() const noexcept;
  // What the server is, as far as it has said; always primary unless watched. No system call.
  Role role() const noexcept;
  // What cancel requests may still do. While it is not `none`, reusable() is false: wait until it
  // is `delivered`, make one empty round trip (ping_step) that absorbs a late 57014, then call
  // cancel_settled(). `doubtful` never ends: retire the connection. Non-blocking.
  CancelTrace cancel_trace() const noexcept;
  void cancel_settled() const noexcept;
  // Has the server cancel what still runs, because native_handle() was left in the middle of it;
  // for a connection that is about to be closed. Does not wait.
  void cancel_left_running() const noexcept;
  // It is not to be used again after this lease. The lease may go on with it.
  void doom() const noexcept {
    if (state_ != nullptr) state_->set(Flag::doomed);
  }
  // A verb is under way, and its user's code is what calls.
  bool in_verb() const noexcept;
  // The lease ends. When a verb is under way that is put off: end(what, which) is called when the
  // verb is over, on its thread. Returns: it is put off.
  bool end_lease_behind_verb(Verb::End end, void* what, std::uint64_t which) const noexcept;
  // From here on every statement ends at `by` or `stop` at the latest, whatever its ExecOptions say
  // (for hooks); bound({}, {}) ends that.
  void bound(Deadline by, std::stop_token stop) const noexcept;
  // Transaction objects that outlive the lease do not touch the connection any more.
  void leave_transaction() const noexcept;
  // Why it is broken: the server's last words where there were some ("57P01: terminating ...").
  // Empty when it is not; valid until the connection is closed.
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
