// Observer: told of everything that happens in a pool.
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
#include <tidegate/watch/lease_info.hpp>

namespace tidegate {

// The events, as plain data. Text is valid during the call only.
struct AcquireEnded {
  Location where{};
  std::optional<Errc> error{};      // nothing: there is a lease
  std::chrono::nanoseconds took{};  // 0: at once, from the warm path, which reads no clock
  bool waited = false;
};
struct LeaseReleased {
  Location acquired{};  // the acquire that began the lease
  int backend_pid = 0;
  bool clean = true;                // false: it is reset, or closed
  std::chrono::nanoseconds held{};  // from the end of the acquire
  bool hijacked = false;            // it has left the pool, with whoever had the lease
};
struct ConnectEnded {
  const ErrorValue* error = nullptr;  // null: there is a connection
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
  bool clean = false;  // false: it is closed
};
struct PoolerRecognized {
  int backend_pid = 0;            // what it gave out for one
  bool named_statements = false;  // statements have names all the same: PoolConfig::statement_cache
};
struct ParameterDropped {
  int backend_pid = 0;
  std::string_view name{};      // "client_encoding", "application_name", or of an option (-c)
  std::string_view asked{};     // by the conninfo, as it was written
  std::string_view reported{};  // by the server, or by what is in between
};

// Every member does nothing unless overridden. Called outside every lock by the thread on which it
// happens, also by several at once; what a member throws is dropped. Must not block: it stands in
// the way of whatever it is told of. Each *_started is followed by exactly one *_ended.
class TIDEGATE_API Observer {
 public:
  Observer() = default;
  Observer(const Observer&) = delete;
  Observer& operator=(const Observer&) = delete;
  virtual ~Observer();

  // Whether it is to be told of each acquire and release: acquire_started, acquire_ended, released.
  // Asked once, when the pool is made. A warm lease costs the three calls and two looks at the
  // clock more then; false: nothing. Each lease that acquire_ended tells of is followed by one
  // released, however it ends.
  virtual bool wants_leases() const noexcept;

  virtual void acquire_started(Location where);
  virtual void acquire_ended(const AcquireEnded& event);
  // An acquire that could not be served at once has waited for that long; just before its end.
  virtual void waited(Location where, std::chrono::nanoseconds waited);
  virtual void released(const LeaseReleased& event);

  virtual void connect_started();
  virtual void connect_ended(const ConnectEnded& event);
  // A connect failed, the `failures`th in a row: the next one comes in `next_in`.
  virtual void backing_off(std::uint32_t failures, std::chrono::nanoseconds next_in);

  virtual void ping_started(int backend_pid);
  virtual void ping_ended(const PingEnded& event);
  virtual void reset_started(int backend_pid);
  virtual void reset_ended(const ConnectionReset& event);
  virtual void retired(const ConnectionRetired& event);
  // The server that was a primary is one no more: every connection is replaced.
  virtual void role_changed(int backend_pid);
  // A connection goes through a pooler, which may give each transaction another server session.
  // Told once, of the pool's first such connection.
  virtual void pooler_recognized(const PoolerRecognized& event);
  // What a server has said at a login, or in after_connect without a handler of the hook's own:
  // that a password expires, that libraries do not fit, ... For a log; the texts are as they came.
  virtual void login_notice(const Notice& notice);
  // A setting that the conninfo asks for is reported otherwise after the login: a pooler has
  // dropped it. Told once for each name (PoolConfig::strict_parameters).
  virtual void parameter_dropped(const ParameterDropped& event);
  // before_close threw.
  virtual void hook_failed(std::string_view hook, std::string_view what);

  // The lease is out for longer than PoolConfig::leak_threshold; once per lease.
  virtual void leak_suspected(const LeaseInfo& lease);
  // It has ended after all. As it was when it was suspected, but `held`.
  virtual void leak_returned(const LeaseInfo& lease);
  // An acquire at `where`, on a thread that holds a lease already (PoolConfig::nested_acquire):
  // `held`, the oldest of them. It has succeeded, or was refused.
  virtual void nested_acquire(Location where, const LeaseInfo& held, bool refused);
  // An acquire at `where` has waited for 100 ms, every connection is leased, and its thread, this
  // one, has acquired or last used each of `leases`, the oldest first; once per acquire. Or a close
  // has waited so long for these, and perhaps others. If nobody else has them to give them back, it
  // waits for itself, until its deadline. It goes on waiting.
  virtual void self_deadlock_suspected(Location where, const std::vector<LeaseInfo>& leases,
                                       bool closes);

  // "lame duck", "fence", "drain", "cancel", "force", and at the end "done" or "orphaned".
  virtual void close_phase(std::string_view phase);
  // The drain goes on: after 1 s, 5 s, and every 10 s. `leases`: what is out, the oldest first.
  virtual void close_waits(std::chrono::nanoseconds so_far, const std::vector<LeaseInfo>& leases);
  // What all callers of close get. Also of a pool that is closed by its destructor.
  virtual void closed(const CloseReport& report);
};

}  // namespace tidegate
