// Stats: what a pool has done and what it is doing, as plain numbers.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include <tidegate/base/export.hpp>
#include <tidegate/base/histogram.hpp>

namespace tidegate {

// A sum over the slots, taken without stopping any thread. Gauges add up to at most `max` at any
// time; the books balance when the pool is at rest:
//   acquired() = released + discarded + hijacked + leased
//   attempts() = acquired() + everything else in `outcomes`
// Histograms and classes of errors need memory; where there is none they are empty.
struct Stats {
  // Gauges, in connections.
  std::uint32_t max = 0;
  std::uint32_t min = 0;       // that the pool keeps open
  std::uint32_t min_idle = 0;  // that it keeps idle
  std::uint32_t idle = 0;
  std::uint32_t leased = 0;
  std::uint32_t connecting = 0;
  std::uint32_t checking = 0;  // being pinged or cleaned, or in an after_release hook
  std::uint32_t retiring = 0;  // being closed
  // What the connections in `checking` and `retiring` are there for, begun or not. The pool looks
  // at the age of the rest, or ends them.
  std::uint32_t pinging = 0;
  std::uint32_t resetting = 0;
  std::uint32_t in_hooks = 0;  // after_release, before_close
  // Waiting acquires.
  std::uint32_t waiting = 0;
  std::chrono::nanoseconds oldest_wait{};
  // Since the pool was made. peak_leased is sampled every 10 ms.
  std::uint32_t peak_leased = 0;
  std::uint32_t peak_waiting = 0;

  // Acquires by how they ended.
  struct Outcomes {
    std::uint64_t immediate = 0;
    std::uint64_t waited = 0;
    std::uint64_t timeout = 0;
    std::uint64_t unavailable = 0;
    std::uint64_t rejected = 0;
    std::uint64_t overloaded = 0;
    std::uint64_t hook = 0;
    std::uint64_t canceled = 0;
    std::uint64_t closed = 0;
    std::uint64_t would_deadlock = 0;
  } outcomes{};
  // The total wait of those acquires that got their connection after a wait.
  std::chrono::nanoseconds waited_for{};
  // The waits of all acquires: 0 for those that were served at once, and those that failed
  // included, unless they were refused before they could wait.
  Histogram waits{};
  std::uint64_t released = 0;   // leases that gave their connection back
  std::uint64_t discarded = 0;  // leases whose connection was retired instead
  std::uint64_t hijacked = 0;   // leases whose connection left the pool

  std::uint64_t created = 0;
  std::uint64_t create_errors = 0;
  // Those by the class of the SQLSTATE, its first two characters: "28" is a login that was refused,
  // "53" too many connections, "57" a server that starts or ends. "none": no server said a word.
  // "other": what came after 15 different ones.
  std::map<std::string, std::uint64_t> create_errors_by_class{};
  Histogram connects{};  // how long those took that made a connection, with their hooks
  // Connections destroyed, by reason.
  struct Destroyed {
    std::uint64_t lifetime = 0;
    std::uint64_t idle = 0;
    std::uint64_t broken = 0;
    std::uint64_t ping = 0;
    std::uint64_t hook = 0;        // a hook asked for it
    std::uint64_t reset = 0;       // dirty, and could not be cleaned
    std::uint64_t dirty = 0;       // dirty, with PoolConfig::reset = destroy
    std::uint64_t generation = 0;  // the pool was reset, or its server is no primary any more
    std::uint64_t shutdown = 0;
  } destroyed{};
  // Server processes that exceed `max` if they still live: a process that had not ended a second
  // after its connection was closed, or a connect that was given up in the middle of the handshake.
  std::uint64_t backends_abandoned = 0;
  // Threads that have not returned from a connect that was given up: each is in one call that
  // nothing can interrupt. At most max_connecting or 4, whichever is more: while there are that
  // many, the pool begins no connect.
  std::uint32_t connects_stuck = 0;
  std::uint64_t pings = 0;
  // Cancel requests: those sent; those sent but not known to have arrived; those for which no
  // server could be reached; and those, sent or not, whose end somebody waited for in vain.
  struct Cancels {
    std::uint64_t sent = 0;
    std::uint64_t failed = 0;
    std::uint64_t unsent = 0;
    std::uint64_t stuck = 0;
  } cancels{};
  // Connections that were cleaned after their lease, by result.
  struct Resets {
    std::uint64_t clean = 0;
    std::uint64_t failed = 0;
  } resets{};
  // How often the pool was reset because its server was no primary any more.
  std::uint64_t role_changes = 0;

  // Lanes (PoolConfig::lanes).
  struct Lanes {
    std::uint32_t open = 0;        // that have a connection now; it counts as leased
    std::uint32_t callers = 0;     // that are on a lane now, with a statement each
    std::uint64_t statements = 0;  // that were sent on a lane, each time they were
    std::uint64_t rounds = 0;      // in which they were sent
    std::uint64_t moved = 0;       // that left a slow lane before they were sent
    std::uint64_t rerun = 0;       // run again, because their prepared form was stale
    std::uint64_t struck = 0;      // run again, because a cancel for a neighbour had struck them
  } lanes{};

  // Leases that were out for longer than leak_threshold, and those of them that have ended since.
  std::uint64_t leaks_suspected = 0;
  std::uint64_t leaks_returned = 0;
  // Acquires by threads that held a lease already, with nested_acquire = warn or fail.
  std::uint64_t nested_acquires = 0;
  // Acquires that waited for 100 ms, at least, while their own thread was the last user of every
  // lease (Observer::self_deadlock_suspected).
  std::uint64_t self_deadlocks_suspected = 0;

  std::uint64_t acquired() const noexcept { return outcomes.immediate + outcomes.waited; }
  std::uint64_t attempts() const noexcept {
    return acquired() + outcomes.timeout + outcomes.unavailable + outcomes.rejected +
           outcomes.overloaded + outcomes.hook + outcomes.canceled + outcomes.closed +
           outcomes.would_deadlock;
  }
};

// One line: "used=3/8 idle=5 connecting=0 checking=0 waiting=0 acquired=1234 ...".
TIDEGATE_API std::string to_string(const Stats& stats);

}  // namespace tidegate
