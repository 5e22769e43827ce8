// PoolConfig: the whole configuration of a pool, an aggregate with a default for every member.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/pool/config_error.hpp>
#include <tidegate/pool/hooks.hpp>

namespace tidegate {

class Observer;
class QueryObserver;

// What the pool does with a connection when its lease ends. Dirty: a transaction is open or has
// failed, a COPY is under way, rows are unread, or pipeline mode is on.
enum class ResetPolicy : std::uint8_t {
  none,         // dirty: drained and rolled back
  rollback,     // dirty: as none, then one round trip that must report it idle
  discard_all,  // dirty: as rollback; then, dirty or clean, DISCARD ALL
  destroy,      // dirty: closed
};

// What the pool does with an acquire by a thread that already holds a lease of it, because two such
// threads may wait for each other. The pool can only guess the holder: a lease counts for the
// thread that acquired it or used it last, until another thread uses or adopts it (Lease::adopt).
enum class NestedAcquire : std::uint8_t {
  off,   // the pool does not check
  warn,  // the acquire goes on; one that succeeds is reported and counted
  fail,  // the acquire is refused with WouldDeadlock
};

// The comment before each member gives its key in a connection string, and says what 0 means where
// 0 is special; docs/configuration.md has all of them in tables. Durations of keys carry a unit:
// 50us, 250ms, 1h30m, 1.5s; only 0 needs none.
struct TIDEGATE_API PoolConfig {
  using milliseconds = std::chrono::milliseconds;
  using microseconds = std::chrono::microseconds;

  // libpq's connection string; PG* environment variables work as in libpq.
  std::string conninfo{};
  // pool_name: shown in logs, metrics, errors, the default application_name. Unset: host:port/db.
  std::optional<std::string> name{};
  // pool_require_auth: libpq's require_auth (a list: scram-sha-256; !password,!md5); it overrides
  // the one in the conninfo. Unset: the pool sends the server whatever it asks for, even a password
  // in clear. Needs libpq 16 or newer; with an older libpq the key is a ConfigError, because only
  // libpq can refuse.
  std::optional<std::string> require_auth{};

  // pool_max_conns: 1..65535.
  std::uint32_t max_size = default_max_size();
  // pool_min_conns: how many connections are kept open in total.
  std::uint32_t min_size = 0;
  // pool_min_idle_conns: how many connections are kept idle on top of the leased ones.
  std::uint32_t min_idle = 0;

  // pool_acquire_timeout: for an acquire that names no deadline. 0 = the acquire never times out.
  milliseconds acquire_timeout{30'000};
  // pool_max_waiters: when this many acquires wait, another is refused at once. 0 = unlimited.
  std::uint32_t max_waiters = 0;
  // pool_barge_window: how long releases may pass a waiter. 0 = strict FIFO.
  microseconds barge_window{50};

  // pool_max_connecting: how many connects run at once; never more than max_size.
  std::uint32_t max_connecting = 4;
  // pool_connect_timeout: bounds a whole connect, over all hosts and addresses, hooks included. If
  // a call in the connect cannot be interrupted, the pool gives the connect up 1.5 s later.
  milliseconds connect_timeout{10'000};
  // pool_connect_backoff_min, pool_connect_backoff_max: the first and the longest wait between
  // connects that fail.
  milliseconds connect_backoff_min{100};
  milliseconds connect_backoff_max{10'000};

  // pool_max_conn_lifetime: 0 = unlimited.
  milliseconds max_lifetime{3'600'000};
  // pool_max_conn_lifetime_jitter: rolled once per connection. Unset: 10 % of max_lifetime.
  std::optional<milliseconds> max_lifetime_jitter{};
  // pool_max_conn_idle_time: 0 = never reaped.
  milliseconds max_idle_time{1'800'000};
  // pool_health_check_period: of maintenance.
  milliseconds health_period{60'000};

  // pool_keepalive: the pool pings connections that are idle for this long. 0 = off.
  milliseconds keepalive{0};
  // pool_ping_after: a connection that was idle longer is pinged before it is leased. 0 = never.
  milliseconds ping_after{1'000};
  // pool_ping_timeout: the pool replaces a connection that does not answer a ping in time. An
  // acquire waits a tenth of this time (20 ms at least) for that answer alone, then for whatever
  // comes first: that answer, another connection that answers, or a new connection.
  milliseconds ping_timeout{1'000};
  // pool_reset: none, rollback, discard_all, destroy.
  ResetPolicy reset = ResetPolicy::rollback;
  // pool_statement_cache: prepared statements per connection, or auto. 0 = off. Unset (auto): 256,
  // or 0 through a pooler (Observer::pooler_recognized), which may give each transaction another
  // server session. A number applies through a pooler, too: use it for poolers that map names
  // (PgBouncer from 1.21 on with max_prepared_statements), or give each client its own session.
  std::optional<std::uint32_t> statement_cache{};
  // pool_lanes: how many connections the one-shot statements of exec(), query_row() and
  // query_value() may share when none is idle (docs/lanes.md). 0 = none. Never more than max_size.
  // No statement shares one with reset = discard_all, with the hooks prepare and after_release,
  // with nested_acquire, and behind a pooler.
  std::uint32_t lanes = 0;
  // pool_lane_limit: a statement that has taken longer than this, on average, takes a connection of
  // its own.
  milliseconds lane_limit{5};
  // pool_strict_parameters: true, false. After the login the server may report another value than
  // the conninfo asks for (client_encoding, application_name, options=-c), because a pooler in
  // between has dropped it. true: the connect fails; false: Observer::parameter_dropped tells of
  // it, once.
  bool strict_parameters = false;
  // pool_cancel_rate: cancel requests per second.
  std::uint32_t cancel_rate = 100;
  // pool_cancel_quiet: how long the pool keeps a connection from others after a cancel request that
  // has had no effect yet, because the request may arrive late. 0 = not at all. Unset: depends on
  // the peer: 0 for the server itself, PgBouncer (from 1.18 on) and Odyssey; 250 ms for anything
  // else that hands on the server's keys (pgagroal, Pgpool-II, a proxy), or resets the request's
  // connection.
  std::optional<milliseconds> cancel_quiet{};
  // pool_leak_threshold: a lease that is out for longer is reported, once. 0 = off.
  milliseconds leak_threshold{0};
  // pool_slow_acquire, pool_slow_statement: an acquire that waits for so long, or a statement that
  // takes so long, is told to the observer at its end. 0 = off. With the second, every statement
  // looks at the clock twice.
  milliseconds slow_acquire{0};
  milliseconds slow_statement{0};
  // pool_capture_stack: true, false. Keeps the acquirer's stack with the lease (this costs
  // microseconds at every acquire).
  bool capture_stack = false;
  // pool_nested_acquire: off, warn, fail. Unless it is off, every acquire looks at all leases.
  NestedAcquire nested_acquire = NestedAcquire::off;
  // pool_close_drain: how long close waits for leases. 0 = not at all.
  milliseconds close_drain{10'000};
  // pool_close_cancel: how long close then waits, canceling statements. 0 = it cancels none.
  milliseconds close_cancel{2'000};
  // pool_close_force: how long close then waits, shutting sockets down. 0 = it shuts none down.
  milliseconds close_force{1'000};

  // pool_gates: a power of two up to 64, or auto. Unset (auto): chosen from the cores and max_size.
  std::optional<std::uint32_t> gates{};

  // Code, not data: operator== does not compare these, and to_string() does not show them.
  Hooks hooks{};
  std::shared_ptr<Observer> observer{};
  // Is told of every statement. Null: nobody is, and statements cost nothing more.
  std::shared_ptr<QueryObserver> queries{};

  // Compares everything that has a key, and the conninfo.
  friend TIDEGATE_API bool operator==(const PoolConfig& a, const PoolConfig& b);

  // Reads a keyword/value or URI connection string: takes out the pool_* keys, leaves the rest to
  // libpq as it is written, and validates.
  // Throws: ConfigError with all problems at once.
  static PoolConfig parse(std::string_view conninfo, Location where = Location::current());

  // Throws: ConfigError with all problems at once; returns when there is none.
  void validate(Location where = Location::current()) const;

  // A connection string with the pool_* keys that differ from their defaults. Secrets read "***",
  // as does a faulty conninfo. Promises: if nothing had to be hidden, parse() reads an equal
  // PoolConfig back.
  std::string to_string() const;

  // The values that the pool uses where the members above are unset. Need a valid configuration.
  std::string effective_name() const;
  milliseconds effective_lifetime_jitter() const noexcept;
  std::uint32_t effective_max_connecting() const noexcept;

  // max(4, cores).
  static std::uint32_t default_max_size() noexcept;
};

}  // namespace tidegate
