// Observer: the pool tells it everything that happens.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <tidegate/base/error.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/pool/close.hpp>
#include <tidegate/pq/notice.hpp>
#include <tidegate/pq/query_observer.hpp>
#include <tidegate/watch/lease_info.hpp>

namespace tidegate {

// The events, as plain data. Text is valid during the call only.
struct AcquireEnded {
  Location where{};
  std::optional<Errc> error{};      // none: the acquire got a lease
  std::chrono::nanoseconds took{};  // 0: at once, on the warm path, which reads no clock
  bool waited = false;
};
struct LeaseReleased {
  Location acquired{};  // the acquire that began the lease
  int backend_pid = 0;
  bool clean = true;                // false: the connection is reset, or closed
  std::chrono::nanoseconds held{};  // from the end of the acquire
  bool hijacked = false;            // the connection left the pool with the lease's user
};
struct ConnectEnded {
  const ErrorValue* error = nullptr;  // null: the connect succeeded
  std::chrono::nanoseconds took{};
  int backend_pid = 0;
};
struct ConnectionRetired {
  std::string_view reason{};  // "lifetime", "idle", "broken", ...: the names of Stats::Destroyed
  int backend_pid = 0;
};
struct PingEnded {
  int backend_pid = 0;
  bool answered = false;  // false: not in time, or never
};
struct ConnectionReset {
  Location acquired{};  // the acquire whose lease came back dirty
  int backend_pid = 0;
  bool clean = false;  // false: the connection is closed
};
struct PoolerRecognized {
  int backend_pid = 0;            // what the pooler gave out as a pid
  bool named_statements = false;  // statements have names nevertheless: PoolConfig::statement_cache
};
struct ParameterDropped {
  int backend_pid = 0;
  std::string_view name{};      // "client_encoding", "application_name", or of an option (-c)
  std::string_view asked{};     // the value in the conninfo, as it was written
  std::string_view reported{};  // the value from the server, or from a pooler in between
};

// Every member does nothing unless overridden. The pool calls it outside every lock, on the thread
// on which the event happens, also on several at once, and drops what it throws. A member must not
// block: it holds up whatever it is told of. Exactly one *_ended follows each *_started.
class TIDEGATE_API Observer {
 public:
  Observer() = default;
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;
  virtual ~Observer();

  // Whether the pool tells of each acquire and release: acquire_started, acquire_ended, released.
  // The pool asks once, when it is made. True: a warm lease costs the three calls and two looks at
  // the clock more; false: nothing. Exactly one released follows each lease that acquire_ended
  // tells of, however the lease ends.
  virtual bool wants_leases() const noexcept;

  virtual void acquire_started(Location where);
  virtual void acquire_ended(const AcquireEnded& event);
  // An acquire that could not be served at once waited for that long; called just before its end.
  virtual void waited(Location where, std::chrono::nanoseconds waited);
  virtual void released(const LeaseReleased& event);
  // The acquire has waited for PoolConfig::slow_acquire or longer, served or not; at its end.
  virtual void slow_acquire(Location where, std::chrono::nanoseconds waited);
  // The statement has taken PoolConfig::slow_statement or longer; in the verb that runs it, so this
  // must not use its connection.
  virtual void slow_statement(const QueryStarted& statement, const QueryEnded& end);

  virtual void connect_started();
  virtual void connect_ended(const ConnectEnded& event);
  // A connect failed, the `failures`th in a row; the next one begins in `next_in`.
  virtual void backing_off(std::uint32_t failures, std::chrono::nanoseconds next_in);

  virtual void ping_started(int backend_pid);
  virtual void ping_ended(const PingEnded& event);
  virtual void reset_started(int backend_pid);
  virtual void reset_ended(const ConnectionReset& event);
  virtual void retired(const ConnectionRetired& event);
  // The server is no longer a primary: the pool replaces every connection.
  virtual void role_changed(int backend_pid);
  // A connection goes through a pooler, which may give each transaction another server session.
  // Called once, for the pool's first such connection.
  virtual void pooler_recognized(const PoolerRecognized& event);
  // A server said this at a login, or in after_connect if the hook set no handler of its own: a
  // password expires, libraries do not fit, ... For a log; the texts are unchanged.
  virtual void login_notice(const Notice& notice);
  // After the login the server reports another value for a setting than the conninfo asks for: a
  // pooler has dropped it. Called once for each name (PoolConfig::strict_parameters).
  virtual void parameter_dropped(const ParameterDropped& event);
  // The hook before_close threw.
  virtual void hook_failed(std::string_view hook, std::string_view what);

  // The lease has been out longer than PoolConfig::leak_threshold; called once per lease.
  virtual void leak_suspected(const LeaseInfo& lease);
  // A suspected lease has ended after all. `lease` is as it was when suspected, except for `held`.
  virtual void leak_returned(const LeaseInfo& lease);
  // An acquire at `where` ran on a thread that holds a lease already (PoolConfig::nested_acquire);
  // `held` is the oldest lease of that thread. The acquire has succeeded, or was refused.
  virtual void nested_acquire(Location where, const LeaseInfo& held, bool refused);
  // An acquire at `where` has waited for 100 ms, every connection is leased, and its thread, this
  // one, has acquired or last used each of `leases`, the oldest first; called once per acquire. Or
  // (`closes`) a close has waited as long for these leases, and perhaps for others. Unless another
  // thread has them and gives them back, this thread waits for itself until its deadline. The wait
  // goes on.
  virtual void self_deadlock_suspected(Location where, const std::vector<LeaseInfo>& leases,
                                       bool closes);

  // "lame duck", "fence", "drain", "cancel", "force", and at the end "done" or "orphaned".
  virtual void close_phase(std::string_view phase);
  // The drain goes on: after 1 s, 5 s, and every 10 s. `leases`: those out, the oldest first.
  virtual void close_waits(std::chrono::nanoseconds so_far, const std::vector<LeaseInfo>& leases);
  // The report that all callers of close get. Also called for a pool that its destructor closes.
  virtual void closed(const CloseReport& report);
};

}  // namespace tidegate
