// Load: what all threads do to a pool while a scenario breaks something.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "pg/pool.hpp"
#include "scenario.hpp"

namespace tidegate::stress {

// The scenario's own thread.
struct MainActor : Actor {
  explicit MainActor(const Run& run)
      : Actor(run.threads(), Random::stream(run.seed(), run.threads())) {}
};

struct Load {
  // Of each acquire.
  std::chrono::milliseconds patience{8000};
  // Of each statement; 0 = none.
  std::chrono::milliseconds limit{0};
  // How long a lease is held between its two statements, at most.
  std::chrono::microseconds hold{200};
};

// All threads of the run use the pool as `load` says until `meanwhile`, which runs on the calling
// thread, returns.
void under_load(const Run& run, PgPool& pool, const Load& load,
                const std::function<void()>& meanwhile);
// The same for anything else that they do, again and again.
void under_load(const Run& run, const std::function<void(Actor&)>& act,
                const std::function<void()>& meanwhile);

// What this process does in `time`, in which the calling thread does nothing (I12). Time of a
// processor alone would not do: a connect takes several times as much beside other programs.
struct Use {
  double of_a_core;  // processor time, a share of one core
  double wakes;      // how often a thread has slept, a second
};
Use use_in(std::chrono::milliseconds time);

}  // namespace tidegate::stress
