// PgPool: a tidegate::Pool whose every verb goes through a ledger.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include <tidegate/pool/pool.hpp>
#include <tidegate/pq/exec_options.hpp>

#include "support/actor.hpp"
#include "support/count.hpp"
#include "support/watchdog.hpp"

namespace tidegate::stress {

class Proxy;

// It checks, at every step (names as in docs/core.md):
//   I1  never more than max_size connections: in the pool's own figures and, when it connects
//       through a proxy, by the proxy's count of sessions that live
//   I2  never two owners of a server process, and the one that answers is the one that was leased
//   I6  a lease has one record, which tells its thread and its session; without a lease there is
//   none I8  each acquire and each statement ends within its deadline (plus what a loaded machine
//   may
//       cost; and a statement, the time for which the answer to its cancel is awaited)
//   I9  and each acquire and each statement in a way that the scenario allows, for a reason that is
//       there
//   I10 each lease begins outside any transaction
// and at the end
//   I7  its books and the pool's are the same, and the server has as many sessions as the pool
//   I11 nothing is left: sessions, threads, descriptors
class PgPool {
 public:
  // How acquires and statements may fail. Besides: closed, once somebody closes.
  struct Allowed {
    std::initializer_list<Errc> acquire{};
    std::initializer_list<Errc> statement{};
  };
  // A lease, and whose it is. Ends as a lease does, but not unseen: in release() or discard().
  struct Held {
    Lease lease{};
    int pid = 0;
  };

  // `proxy`: when the pool connects through one. Its high-water mark begins anew.
  PgPool(PoolConfig config, const Allowed& allowed, Proxy* proxy = nullptr);
  // Closes, when that has not been done, and takes the last look.
  ~PgPool();

  // A configuration that finds out soon what has happened.
  static PoolConfig quick(std::string name, std::uint32_t max_size);
  // The same, through the proxy.
  static PoolConfig quick(std::string name, std::uint32_t max_size, const Proxy& proxy);

  std::optional<Held> acquire(Actor& actor, Deadline deadline, const std::stop_token& stop = {},
                              Errc* why = nullptr);
  // Runs statements that are one call, "`verb`", to be over `by` then; how it failed, if it did.
  std::optional<Errc> run(Actor& actor, Held& held, const char* verb, Deadline by,
                          const std::function<void(Connection&)>& statements);
  // One statement.
  std::optional<Errc> exec(Actor& actor, Held& held, const char* sql,
                           const ExecOptions& options = {});
  // Asks the server who serves.
  std::optional<Errc> ask(Actor& actor, Held& held, const ExecOptions& options = {});
  void release(Actor& actor, Held held);
  void discard(Actor& actor, Held held);
  // acquire, ask, release: how it failed, if it did.
  std::optional<Errc> use(Actor& actor, Deadline deadline, const ExecOptions& options = {});
  // Opens that many connections, or every one there may be, and leaves them idle. The server is
  // well.
  void fill(Actor& actor) { fill(actor, max_size_); }
  void fill(Actor& actor, std::uint32_t count);
  // Pool::with(): a call of the pool's own, with a lease in it.
  void with(Actor& actor, Deadline deadline, const std::function<void(Connection&)>& f);
  // An acquire and release out of a hook, on whichever thread that is; how it ends does not matter.
  void recurse();
  CloseReport close(Actor& actor, const CloseOptions& options = {});
  // Before anything that closes the pool by another way.
  void expect_close() noexcept;
  // For require(): its figures when they are asked for.
  auto figures() const noexcept {
    return [this] { return to_string(pool_->stats()); };
  }
  Pool& pool() noexcept { return *pool_; }
  const Pool& pool() const noexcept { return *pool_; }
  // For when the pool is to be alone: nobody looks at it all the time any more.
  void stop_sampling() { sampler_ = {}; }
  // The pool's destructor.
  void destroy(Actor& actor);

  // Nobody is in a verb, no lease is out, the server and the network are well: pool, server and
  // ledger must come to agree.
  void audit_at_rest(Actor& actor);
  // Closes, and looks for what is left. `sessions`: none must be; not so where a server process
  // does not hear of its end.
  void audit_and_close(Actor& actor, bool sessions = true);

  std::uint64_t acquired() const noexcept { return acquired_; }
  std::uint64_t answered() const noexcept { return answered_; }
  std::uint64_t acquires_failed(Errc code) const noexcept { return of(acquire_failed_, code); }
  std::uint64_t acquires_failed() const noexcept;
  std::uint64_t statements_failed(Errc code) const noexcept { return of(failed_, code); }

 private:
  using Counts = std::array<Count, kErrcCount>;
  static std::uint64_t of(const Counts& counts, Errc code) noexcept {
    return counts[static_cast<std::size_t>(code)];
  }
  void end(Actor& actor, Held& held, const char* verb);
  void compare(const Stats& stats) const;
  void check_sessions();
  void check_records() const;
  static void check_counters(const Stats& before, const Stats& now);
  Watchdog::Progress progress() const;

  const std::string name_;
  const std::uint32_t max_size_;
  std::uint32_t allowed_acquire_ = 0;  // by Errc
  std::uint32_t allowed_statement_ = 0;
  Proxy* const proxy_;
  std::size_t threads_before_ = 0;
  std::size_t files_before_ = 0;

  // Everything that actors and sampler share is relaxed, as is Count.
  std::atomic<bool> closing_{false};
  std::atomic<bool> closed_in_use_{false};
  Count attempts_{};
  Count acquired_{};
  Count ended_{};
  Count discarded_{};
  Count answered_{};
  Counts acquire_failed_{};
  Counts failed_{};
  std::array<std::atomic<std::uint32_t>, 3> seen_{};  // leased, idle, waiting

  std::optional<Pool> pool_{};
  std::optional<Status> status_{};
  std::jthread sampler_{};
};

}  // namespace tidegate::stress
