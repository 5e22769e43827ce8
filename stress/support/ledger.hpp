// The ledger: what the lessees and the factory of one pool saw, checked against the invariants.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/error.hpp>
#include <tidegate/core/resource_pool.hpp>

#include "support/actor.hpp"
#include "support/thing.hpp"
#include "support/watchdog.hpp"

namespace tidegate::stress {

// One per pool. It checks, at every step (names as in docs/core.md):
//   I1  never more than max_size things at once, counted by the factory
//   I2  never two owners of a thing
//   I4  no lease begins after the fence
//   I5  each thing is destroyed exactly once, through `destroy`, under no lease
//   I8  each acquire ends within its deadline (plus what a loaded machine may cost)
//   I9  and for a reason that is there: closed, passed deadline, requested stop, failed making
// and at rest I7: its books and the pool's are the same.
//
// All its atomics are relaxed where no comment says otherwise: the ledger must not order what the
// pool has to order, or ThreadSanitizer would not see a missing edge.
class Ledger {
 public:
  // One line of the books per actor; `actors` lines and one for everybody else.
  Ledger(std::uint32_t max_size, std::uint32_t max_waiters, std::uint32_t actors);
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // ---- the factory -----------------------------------------------------------------------------
  void making();  // at its start: a thing in the making takes a place
  std::unique_ptr<Thing::Body> made();
  void not_made(Errc why);
  void destroyed(Thing::Body& body);

  // ---- a lease, in order -----------------------------------------------------------------------
  struct Attempt {
    Deadline deadline;
    std::stop_token stop;
    bool after_fence = false;                       // it began when the fence stood already
    std::chrono::steady_clock::time_point began{};  // where that matters
  };
  Attempt begin(Actor& actor, Deadline deadline, const std::stop_token& stop,
                std::uint32_t attempts = 1);
  void count_attempt(Actor& actor) { add(line(actor.index).attempts); }
  void won(Actor& actor, const Attempt& attempt, Thing& thing);
  void lost(Actor& actor, const Attempt& attempt, Errc why);
  // The lessee reads and writes the thing.
  void use(Actor& actor, Thing& thing);
  // Just before and just after a lease ends. `acquirer`: the index of the actor whose lease it was.
  enum class End : std::uint8_t { released, discarded, hijacked };
  void ending(std::uint32_t acquirer, Thing& thing, End how);
  void ended(std::uint32_t line, End how);

  // The actor has it aside for a look, as maintenance does: under no lease, and nobody else's (I2).
  void aside(Actor& actor, Thing& thing);
  void looked_at(Actor& actor, Thing& thing);

  // A caller may have a thing in hand for which close() does not wait: in create_resource, in
  // reset.
  class Holding {
   public:
    explicit Holding(Ledger& ledger) : ledger_(ledger) { ledger_.holding_.fetch_add(1); }
    ~Holding() { ledger_.holding_.fetch_sub(1); }
    Holding(const Holding&) = delete;
    Holding& operator=(const Holding&) = delete;

   private:
    Ledger& ledger_;
  };

  // ---- close -----------------------------------------------------------------------------------
  void closing(Actor& closer);
  // `drained`: what close() said.
  void closed(Actor& closer, bool drained);
  bool is_closing() const noexcept { return closing_.load(std::memory_order_relaxed); }
  bool fence_stands() const noexcept { return fence_.load(std::memory_order_acquire); }

  // ---- audits: nobody is in a verb
  // ---------------------------------------------------------------- I7, against the pool's own
  // books. `done`: the pool is closed and everything is back.
  void compare(const core::ResourceStats& stats, bool done) const;
  // I5, I7: all leases are back, everything that was made is destroyed or hijacked.
  void nothing_left() const;

  std::uint64_t live() const noexcept { return live_.load(std::memory_order_relaxed); }
  // For the progress line: where the pool's slots are, and outcomes so far.
  Watchdog::Progress progress(const PoolCounts& counts) const;
  std::uint32_t max_size() const noexcept { return max_size_; }

 private:
  using Count = std::atomic<std::uint64_t>;
  struct alignas(64) Books {
    Count attempts{0};
    Count acquired{0};
    Count returning{0};  // about to end
    Count ended{0};
    Count discarded{0};
    Count hijacked{0};
    std::array<Count, kErrcCount> failed{};
  };
  static void add(Count& count) noexcept { count.fetch_add(1, std::memory_order_relaxed); }
  std::uint64_t sum(Count Books::* count) const noexcept;
  std::uint64_t failed(Errc code) const noexcept;
  bool in_use() const noexcept;
  Books& line(std::uint32_t index) noexcept { return books_[index < lines_ ? index : lines_]; }
  void check_in_time(const Attempt& attempt) const;

  const std::uint32_t max_size_;
  const std::uint32_t max_waiters_;
  const std::uint32_t lines_;
  const std::unique_ptr<Books[]> books_;

  std::atomic<bool> closing_{false};
  std::atomic<bool> fence_{false};
  bool closed_in_use_ = false;  // written once, by the first closer
  std::atomic<int> holding_{0};

  Count live_{0};
  Count made_{0};
  Count destroyed_{0};
  std::array<Count, kErrcCount> not_made_{};
};

}  // namespace tidegate::stress
