#include "pg/load.hpp"

#include <time.h>

#include <atomic>

#include "support/pause.hpp"
#include "support/team.hpp"

namespace tidegate::stress {

void under_load(const Run& run, const std::function<void(Actor&)>& act,
                const std::function<void()>& meanwhile) {
  std::atomic<bool> over{false};
  Team team(run.threads(), run.seed(1), [&](Actor& me) {
    while (!over) act(me);
  });
  team.round([&] {
    meanwhile();
    over = true;
  });
}

void under_load(const Run& run, PgPool& pool, const Load& load,
                const std::function<void()>& meanwhile) {
  const auto act = [&](Actor& me) {
    auto held = pool.acquire(me, load.patience);
    if (!held) return;
    const auto options = [&] {
      return ExecOptions{.by = load.limit.count() > 0 ? Deadline(load.limit) : Deadline()};
    };
    if (!pool.ask(me, *held, options()) && me.random.chance(1, 4)) {
      pause(me.random.up_to(load.hold));
      pool.ask(me, *held, options());
    }
    pool.release(me, std::move(*held));
  };
  under_load(run, act, meanwhile);
}

double share_of_a_core(std::chrono::milliseconds time) {
  const auto used = [] {
    timespec t{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
  };
  const auto began = std::chrono::steady_clock::now();
  const auto before = used();
  pause(time);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  return std::chrono::duration<double>(used() - before) / took;
}

}  // namespace tidegate::stress
