#include "support/delays.hpp"

#include <sched.h>
#include <time.h>

#include <atomic>
#include <string_view>
#include <utility>

#include <tidegate/base/test_point.hpp>
#include <tidegate/core/sync.hpp>

#include "support/actor.hpp"

namespace tidegate::stress {
namespace {

// Relaxed: they are numbers, and a thread that sees an old one loses nothing.
std::atomic<std::uint64_t> run_seed{0};
std::atomic<std::uint64_t> streams{0};
enum class Mode : std::uint32_t { calm, everywhere, one_point };
std::atomic<Mode> mode{Mode::calm};
std::atomic<std::uint64_t> focus{0};

// The pool's own threads have no actor.
thread_local constinit Random own_random{0};
thread_local constinit bool own_random_seeded = false;

Random& random_of_thread() noexcept {
  if (Actor* actor = Actor::current()) return actor->random;
  if (!own_random_seeded) {
    own_random = Random::stream(run_seed.load(std::memory_order_relaxed),
                                streams.fetch_add(1, std::memory_order_relaxed));
    own_random_seeded = true;
  }
  return own_random;
}

std::uint64_t hash(std::string_view name) noexcept {
  std::uint64_t h = 0xcbf29ce484222325U;  // FNV-1a
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return h;
}

void spin(std::uint32_t turns) noexcept {
  for (std::uint32_t i = 0; i < turns; ++i) core::StdSync::relax();
}

void nap(std::uint32_t microseconds) noexcept {
  const timespec time{0, static_cast<long>(microseconds) * 1000};
  ::clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
}

// I4. The order matters: at settle the fence is looked at before the acquirer looks at its gate.
void watch_fence(std::string_view name) noexcept {
  Actor* const actor = Actor::current();
  if (actor == nullptr) return;
  if (actor->fence != nullptr && name == "acquire.before_settle" &&
      actor->fence->load(std::memory_order_acquire)) {
    actor->settled_after_fence = true;
  }
  if (actor->raises != nullptr && name == "close.fenced") {
    actor->raises->store(true, std::memory_order_release);
  }
}

void freeze(std::string_view name) noexcept {
  Actor* const actor = Actor::current();
  if (actor == nullptr || actor->freeze == nullptr || name != actor->freeze->at) return;
  Freeze& freeze = *std::exchange(actor->freeze, nullptr);
  freeze.reached.store(true, std::memory_order_release);
  while (!freeze.over.load(std::memory_order_acquire)) nap(100);
}

void delay(const char* name) noexcept {
  const Mode now = mode.load(std::memory_order_relaxed);
  if (now != Mode::calm) {
    Random& random = random_of_thread();
    const bool much =
        now == Mode::one_point && hash(name) % 8 == focus.load(std::memory_order_relaxed);
    if (now == Mode::everywhere || much) {
      const std::uint32_t draw = random.below(much ? 16 : 128);
      if (draw == 0) {
        nap(1 + random.below(much ? 200 : 50));
      } else if (draw < 4) {
        spin(random.below(500));
      } else if (draw < 12) {
        ::sched_yield();
      }
    }
  }
  watch_fence(name);
  freeze(name);
}

}  // namespace

void install_delays(std::uint64_t seed) {
  run_seed.store(seed, std::memory_order_relaxed);
  streams.store(0, std::memory_order_relaxed);
  detail::test_point_hook.store(delay, std::memory_order_release);
}

void next_delays(std::uint64_t seed) noexcept {
  Random random(seed);
  static constexpr Mode kModes[] = {Mode::calm, Mode::everywhere, Mode::one_point, Mode::one_point};
  mode.store(random.pick(kModes), std::memory_order_relaxed);
  focus.store(random.below(8), std::memory_order_relaxed);
}

}  // namespace tidegate::stress
