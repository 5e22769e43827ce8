#include "pg/load.hpp"

#include <sys/resource.h>

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

Use use_in(std::chrono::milliseconds time) {
  const auto used = [] {
    rusage all{};
    ::getrusage(RUSAGE_SELF, &all);
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return Use{.of_a_core = seconds(all.ru_utime) + seconds(all.ru_stime),
               .wakes = static_cast<double>(all.ru_nvcsw)};
  };
  const auto began = std::chrono::steady_clock::now();
  const Use before = used();
  pause(time);
  const Use after = used();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  return {.of_a_core = (after.of_a_core - before.of_a_core) / took.count(),
          .wakes = (after.wakes - before.wakes) / took.count()};
}

}  // namespace tidegate::stress
