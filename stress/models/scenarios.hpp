// The scenarios: three threads, one or two slots, one or two gates, and what must come out.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>

#include <models/model_pool.hpp>

namespace tidegate::models {

// Each thread uses the gate of its number, as far as the gates go round.
struct Scenario {
  std::string_view name;
  core::SlotPoolLimits limits;
  std::uint32_t idle;                       // slots that are idle at the beginning
  int leased;                               // leases that the first threads hold at the beginning
  void (*thread)(ModelPool&, int, Ticket);  // number of the thread; its lease, if it holds one
  // Has waits that end by themselves, which Relacy's exhaustive search cannot do: it gives them a
  // turn at every step, without bound, and starts ended threads anew when only they are left.
  bool timed = false;
  // Log2 of how many slots may dock together.
  unsigned dock_shift = 0;
};
inline constexpr bool kTimed = true;
inline constexpr bool kEndless = false;
inline constexpr unsigned kTogether = 1;

inline constexpr auto kNever = Deadline::never();

inline void expect_served(std::optional<Errc> error) {
  check(!error, "I3: an acquire that nothing limits ended without a slot");
}
inline void expect_served_or(Errc other, std::optional<Errc> error) {
  check(!error || *error == other, "I9: an acquire ended with the wrong word");
}

inline void expect_answered(bool answered) {
  check(answered, "I3: a statement that nothing limits ended without an answer");
}

// Has two slots at the same time.
inline void lease_both(ModelPool& pool) {
  const Found one = pool.acquire(kNever);
  const Found other = pool.acquire(kNever);
  expect_served(one.error);
  expect_served(other.error);
  pool.release(one.ticket);
  pool.release(other.ticket);
}

inline const std::array kScenarios = {
    // Acquire and release of one slot by everybody, one of them twice. I2, I3, I5.
    Scenario{"lease",
             {.max_size = 1, .gates = 1},
             1,
             0,
             [](ModelPool& pool, int thread, Ticket) {
               expect_served(pool.lease(kNever));
               if (thread == 0) expect_served(pool.lease(kNever));
             }},
    // A release at one gate races the arming of both by waiters at the other. I3.
    Scenario{"arm",
             {.max_size = 1, .gates = 2},
             1,
             1,
             [](ModelPool& pool, int thread, Ticket mine) {
               thread == 0 ? pool.release(mine) : expect_served(pool.lease(kNever));
               if (thread == 2) expect_served(pool.lease(kNever));
             }},
    // A grant against a deadline: what the late one does not want the other one gets. I3, I8.
    Scenario{"timeout",
             {.max_size = 1, .gates = 1},
             1,
             1,
             [](ModelPool& pool, int thread, Ticket mine) {
               if (thread == 0) pool.release(mine);
               if (thread == 1) expect_served_or(Errc::timeout, pool.lease(kSomeDay));
               if (thread == 2) expect_served(pool.lease(kNever));
             },
             kTimed},
    // A waiter that is called back, and one that sleeps: both are served. I3, I8.
    Scenario{"called-back",
             {.max_size = 1, .gates = 2},
             1,
             1,
             [](ModelPool& pool, int thread, Ticket mine) {
               if (thread == 0) pool.release(mine);
               if (thread == 1) expect_served(pool.lease_called_back(kNever));
               if (thread == 2) expect_served(pool.lease(kNever));
             }},
    // The same with a timer that runs out: a grant that comes then is kept, and nobody waits for
    // what was granted to nobody. I3, I8.
    Scenario{"called-back-or-late",
             {.max_size = 1, .gates = 1},
             1,
             1,
             [](ModelPool& pool, int thread, Ticket mine) {
               if (thread == 0) pool.release(mine);
               if (thread == 1) {
                 expect_served_or(Errc::timeout, pool.lease_called_back(kSomeDay));
               }
               if (thread == 2) expect_served(pool.lease(kNever));
             },
             kTimed},
    // A grant to a waiter that is called back against close, which calls it back, too. I3, I4, I9.
    Scenario{"called-back-or-closed",
             {.max_size = 1, .gates = 2},
             1,
             1,
             [](ModelPool& pool, int thread, Ticket mine) {
               if (thread == 0) pool.release(mine);
               if (thread == 1) expect_served_or(Errc::closed, pool.lease_called_back(kNever));
               if (thread == 2) pool.close(kNever);
             }},
    // The barge window: releases pass waiters by until they insist. I3.
    Scenario{"window",
             {.max_size = 1, .gates = 2, .barge_window = std::chrono::microseconds(50)},
             1,
             1,
             [](ModelPool& pool, int thread, Ticket mine) {
               if (thread != 0) return expect_served(pool.lease(kNever));
               pool.release(mine);
               expect_served(pool.lease(kNever));
             },
             kTimed},
    // Two releases at one gate: one finds the dock taken, and claims its slot back. I2, I3.
    Scenario{"dock-taken",
             {.max_size = 2, .gates = 1},
             2,
             2,
             [](ModelPool& pool, int thread, Ticket mine) {
               if (thread != 2) return pool.release(mine);
               lease_both(pool);
             }},
    // The same where both find room in the dock: each slot has one owner at a time, and carries
    // what its own last owner did. I2, I3.
    Scenario{"docked-together",
             {.max_size = 2, .gates = 1},
             2,
             2,
             [](ModelPool& pool, int thread, Ticket mine) {
               if (thread != 2) {
                 pool.release(mine);
                 return expect_served(pool.lease(kNever));
               }
               lease_both(pool);
             },
             kEndless,
             kTogether},
    // Two slots in one dock, one of them of another thread, and maintenance that empties it. I2,
    // I3.
    Scenario{"docked-and-looked-at",
             {.max_size = 2, .gates = 1},
             2,
             2,
             [](ModelPool& pool, int thread, Ticket mine) {
               if (thread == 2) return pool.empty_docks();
               pool.release(mine);
               expect_served(pool.lease(kNever));
             },
             kEndless,
             kTogether},
    // Two slots on their way into one dock race the fence and its sweep. I4, I5, I9.
    Scenario{"docked-or-swept",
             {.max_size = 2, .gates = 1},
             2,
             2,
             [](ModelPool& pool, int thread, Ticket mine) {
               if (thread == 2) {
                 pool.close(kNever);
                 return;
               }
               pool.release(mine);
               expect_served_or(Errc::closed, pool.lease(kNever));
             },
             kEndless,
             kTogether},
    // A grant against close, and the closer waits for what was granted. I3, I4, I8, I9.
    Scenario{"close",
             {.max_size = 1, .gates = 2},
             1,
             1,
             [](ModelPool& pool, int thread, Ticket mine) {
               if (thread == 0) pool.release(mine);
               if (thread == 1) expect_served_or(Errc::closed, pool.lease(kNever));
               if (thread == 2) pool.close(kNever);
             }},
    // Acquires that need no waiting race the fence: docked, queued, or nothing. I4, I5, I9.
    Scenario{"fence",
             {.max_size = 2, .gates = 2},
             2,
             1,
             [](ModelPool& pool, int thread, Ticket mine) {
               if (thread == 0) {
                 pool.release(mine);
                 const auto error = pool.lease(Deadline::now());
                 check(!error || *error == Errc::closed || *error == Errc::timeout,
                       "I9: an acquire ended with the wrong word");
                 pool.client_done();
               } else if (thread == 1) {
                 pool.try_lease();
                 pool.client_done();
               } else {
                 pool.close(kNever);
                 pool.await_clients();
                 pool.let_go();
               }
             }},
    // Tries that find nothing, and their leaving, race the fence. I3, I5.
    Scenario{"try",
             {.max_size = 1, .gates = 2},
             1,
             1,
             [](ModelPool& pool, int thread, Ticket mine) {
               if (thread == 2) {
                 pool.close(kNever);
                 pool.await_clients();
                 return pool.let_go();
               }
               thread == 0 ? pool.release(mine) : pool.try_lease();
               pool.client_done();
             }},
    // The last leaver wakes the closer, who frees the core under its feet if it may. I3, I5.
    Scenario{"last-leaver",
             {.max_size = 2, .gates = 2},
             2,
             2,
             [](ModelPool& pool, int thread, Ticket mine) {
               if (thread == 0) return pool.release(mine);
               if (thread == 1) return pool.discard(mine);
               check(pool.close(kNever), "a close without a deadline gave up");
               pool.let_go();
             }},
    // Close gives up while leases come back: whoever is last frees the core, once. I5.
    Scenario{"abandon",
             {.max_size = 2, .gates = 2},
             2,
             2,
             [](ModelPool& pool, int thread, Ticket mine) {
               if (thread != 2) return pool.release(mine);
               pool.close(kSomeDay);
               pool.let_go();
             },
             kTimed},
    // An opening fails under a waiter, and the next one does not. I3, I9.
    Scenario{"open-fails",
             {.max_size = 1, .gates = 1},
             0,
             0,
             [](ModelPool& pool, int thread, Ticket) {
               if (thread == 2) return pool.serve<1>({OpenFailure::unavailable});
               if (thread == 0) expect_served(pool.lease(kNever));
               if (thread == 1) {
                 const auto error = pool.lease(kSomeDay);
                 check(!error || *error == Errc::timeout || *error == Errc::unavailable,
                       "I9: an acquire ended with the wrong word");
               }
               pool.client_done();
             },
             kTimed},
    // The other side refuses us: all are told, those who wait and those who come later. I8, I9.
    Scenario{"rejected",
             {.max_size = 1, .gates = 1},
             0,
             0,
             [](ModelPool& pool, int thread, Ticket) {
               if (thread == 2) {
                 return pool.serve<1>({OpenFailure::rejected},
                                      RelacySync::now() + std::chrono::hours(1));
               }
               const auto error = pool.lease(kNever);
               check(error && *error == Errc::rejected,
                     "I9: a refused acquire ended with another word");
               pool.client_done();
             }},
    // A slot goes, and its capacity becomes a new one for who waits. I3, I5.
    Scenario{"capacity",
             {.max_size = 1, .gates = 1},
             1,
             1,
             [](ModelPool& pool, int thread, Ticket mine) {
               if (thread == 2) return pool.serve();
               thread == 0 ? pool.discard(mine) : expect_served(pool.lease(kNever));
               pool.client_done();
             }},
    // Two waiters, one opening at a time: both get a slot while the other one keeps his. I3.
    Scenario{"growth",
             {.max_size = 2, .gates = 1, .max_opening = 1},
             0,
             0,
             [](ModelPool& pool, int thread, Ticket) {
               if (thread == 2) return pool.serve();
               const Found found = pool.acquire(kNever);
               expect_served(found.error);
               pool.meet(2);
               pool.release(found.ticket);
               pool.client_done();
             }},
    // Maintenance takes an idle slot, docked or not, and puts it back under waiters. I2, I3.
    Scenario{"maintenance",
             {.max_size = 1, .gates = 1},
             1,
             0,
             [](ModelPool& pool, int thread, Ticket) {
               if (thread != 0) return expect_served(pool.lease(kNever));
               pool.look_at_idle();
             }},
    // A lease hands its slot over to maintenance under a waiter. I2, I3.
    Scenario{"hand-over",
             {.max_size = 1, .gates = 1},
             1,
             1,
             [](ModelPool& pool, int thread, Ticket mine) {
               if (thread == 2) return pool.serve();
               thread == 0 ? pool.give_to_maintenance(mine) : expect_served(pool.lease(kNever));
               pool.client_done();
             }},
    // An opening ends while the pool closes: nothing is published after the fence. I3, I4, I5.
    Scenario{"open-or-close",
             {.max_size = 1, .gates = 1},
             0,
             0,
             [](ModelPool& pool, int thread, Ticket) {
               if (thread == 2) return pool.serve();
               if (thread == 0) expect_served_or(Errc::closed, pool.lease(kNever));
               if (thread == 1) pool.close(kNever);
               pool.client_done();
             }},
    // A lane: whoever comes first leads, the others follow, and one comes again. I3, I8.
    Scenario{"lane",
             {.max_size = 1, .gates = 1},
             0,
             0,
             [](ModelPool& pool, int thread, Ticket) {
               expect_answered(pool.lane().ask(thread + 1, kNever));
               if (thread == 0) expect_answered(pool.lane().ask(thread + 4, kNever));
             }},
    // Callers leave a lane at any moment, and come again. I5, I8.
    Scenario{"lane-leaves",
             {.max_size = 1, .gates = 1},
             0,
             0,
             [](ModelPool& pool, int thread, Ticket) {
               if (thread != 0) {
                 pool.lane().ask(thread + 1, kSomeDay);
                 pool.lane().ask(thread + 4, kSomeDay);
               } else {
                 expect_answered(pool.lane().ask(1, kNever));
               }
             },
             kTimed},
    // Callers take their statements back where they were not sent. I5, I8.
    Scenario{"lane-takes-back",
             {.max_size = 1, .gates = 1},
             0,
             0,
             [](ModelPool& pool, int thread, Ticket) {
               if (thread != 0) {
                 pool.lane().ask(thread + 1, kSomeDay, ModelLane::Late::takes_back);
                 pool.lane().ask(thread + 4, kSomeDay, ModelLane::Late::takes_back);
               } else {
                 expect_answered(pool.lane().ask(1, kNever));
               }
             },
             kTimed},
    // Statements are run again while their callers leave. I5, I8.
    Scenario{"lane-strikes",
             {.max_size = 1, .gates = 1},
             0,
             0,
             [](ModelPool& pool, int thread, Ticket) {
               pool.lane().strike();
               if (thread == 1) {
                 pool.lane().ask(2, kSomeDay);
               } else {
                 expect_answered(pool.lane().ask(thread + 1, kNever));
               }
             },
             kTimed},
};

}  // namespace tidegate::models
