// LedgerPool: a ResourcePool of things whose every verb goes through the ledger.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <tidegate/core/resource_pool.hpp>

#include "support/actor.hpp"
#include "support/factory.hpp"
#include "support/ledger.hpp"
#include "support/pause.hpp"
#include "support/stress_sync.hpp"
#include "support/verdict.hpp"
#include "support/watchdog.hpp"

namespace tidegate::stress {

// What a scenario chooses of a pool.
struct Shape {
  std::uint32_t max_size = 4;
  std::uint32_t gates = 0;
  std::uint32_t max_waiters = 0;
  std::uint32_t max_opening = 4;
  std::chrono::microseconds barge_window{50};
  Weather weather = kFair;
  bool sampled = true;  // a thread reads counts() and stats() all the time
  unsigned dock_shift = core::StdSync::dock_shift();

  // Gates, docks, barge window and openings at random; some pools have more gates than slots.
  static Shape random(Random& random, std::uint32_t max_size) {
    static constexpr std::uint32_t kGates[] = {0, 1, 1, 2, 4, 8};
    static constexpr std::chrono::microseconds kWindows[] = {
        std::chrono::microseconds(0), std::chrono::microseconds(0), std::chrono::microseconds(50),
        std::chrono::microseconds(1000)};
    static constexpr unsigned kDockShifts[] = {0, 0, 1, core::StdSync::dock_shift()};
    return {.max_size = max_size,
            .gates = random.pick(kGates),
            .max_opening = 1 + random.below(4),
            .barge_window = random.pick(kWindows),
            .dock_shift = random.pick(kDockShifts)};
  }
};

template <class Sync = StressSync>
class LedgerPool {
 public:
  using Pool = core::ResourcePool<Thing, Sync>;

  // A lease, and whose it is. Must end in one of the pool's verbs below.
  class Held {
   public:
    Held(typename Pool::Lease lease, std::uint32_t acquirer)
        : lease_(std::move(lease)), acquirer_(acquirer) {}
    Held(Held&&) noexcept = default;
    Held& operator=(Held&&) noexcept = default;
    Thing& thing() const { return *lease_; }

   private:
    friend class LedgerPool;
    typename Pool::Lease lease_;
    std::uint32_t acquirer_;
  };

  // `actors`: how many lines of the books. The ledger and the factory live as long as this object,
  // the pool until destroy().
  LedgerPool(const Shape& shape, std::uint64_t seed, std::uint32_t actors)
      : ledger_(shape.max_size, shape.max_waiters, actors),
        factory_(ledger_, shape.weather, seed),
        docks_(shape.dock_shift),
        pool_(std::make_unique<Pool>(config_of(shape))),
        status_([this] { return progress(); }, [this] { return describe(); }) {
    if (shape.sampled) start_sampler(actors, seed);
  }
  ~LedgerPool() {
    stop_sampler();
    if (pool_ != nullptr) {
      Actor* const actor = Actor::current();
      if (actor != nullptr) destroy(*actor);
    }
  }

  Ledger& ledger() noexcept { return ledger_; }
  Pool& pool() noexcept { return *pool_; }

  // ---- verbs
  // -------------------------------------------------------------------------------------
  std::optional<Held> acquire(Actor& actor, Deadline deadline = Deadline::never(),
                              const std::stop_token& stop = {}, Errc* why = nullptr) {
    const auto attempt = ledger_.begin(actor, deadline, stop);
    auto acquired = [&] {
      const Actor::InCall call(actor, "acquire");
      return pool_->acquire(deadline, stop);
    }();
    if (acquired.error) {
      ledger_.lost(actor, attempt, *acquired.error);
      if (why != nullptr) *why = *acquired.error;
      return std::nullopt;
    }
    ledger_.won(actor, attempt, *acquired.lease);
    return Held(std::move(acquired.lease), actor.index);
  }
  std::vector<Held> acquire_all_idle(Actor& actor) {
    const auto attempt = ledger_.begin(actor, Deadline::now(), {}, 0);
    auto leases = [&] {
      const Actor::InCall call(actor, "acquire_all_idle");
      return pool_->acquire_all_idle();
    }();
    // Which of them settled after the fence cannot be told here.
    actor.settled_after_fence = false;
    std::vector<Held> held;
    for (auto& lease : leases) {
      ledger_.count_attempt(actor);
      ledger_.won(actor, attempt, *lease);
      held.emplace_back(std::move(lease), actor.index);
    }
    return held;
  }
  void use(Actor& actor, Held& held) { ledger_.use(actor, held.thing()); }

  // The three ends; also on a thread that is no actor, and after the pool is gone.
  void release(Held held, Actor* on = Actor::current()) {
    end(std::move(held), on, "release", Ledger::End::released,
        [](auto& lease) { lease.release(); });
  }
  void discard(Held held, Actor* on = Actor::current()) {
    end(std::move(held), on, "discard", Ledger::End::discarded,
        [](auto& lease) { lease.discard(); });
  }
  void hijack(Held held, Actor* on = Actor::current()) {
    end(std::move(held), on, "hijack", Ledger::End::hijacked, [](auto& lease) {
      Thing thing = std::move(lease).hijack();
      ++thing.body().uses;
      thing.let_go();
    });
  }

  bool create_resource(Actor& actor, Deadline deadline, const std::stop_token& stop = {}) {
    const Actor::InCall call(actor, "create_resource");
    const Ledger::Holding holding(ledger_);
    return pool_->create_resource(deadline, stop);
  }
  // Everything that is idle is looked at; `is_fit` says what becomes of each.
  template <class F>
  void check_idle(Actor& actor, F&& is_fit) {
    const Actor::InCall call(actor, "check_idle");
    const Ledger::Holding holding(ledger_);
    pool_->check_idle([&](Thing& thing) {
      ledger_.aside(actor, thing);
      const bool fit = is_fit();
      ledger_.looked_at(actor, thing);
      return fit;
    });
  }
  void reset(Actor& actor) {
    const Actor::InCall call(actor, "reset");
    const Ledger::Holding holding(ledger_);
    pool_->reset();
  }
  bool close(Actor& actor, Deadline drain) {
    ledger_.closing(actor);
    const bool drained = [&] {
      const Actor::InCall call(actor, "close");
      return pool_->close(drain);
    }();
    ledger_.closed(actor, drained);
    return drained;
  }
  // The pool's destructor. Leases may be out.
  void destroy(Actor& actor) {
    stop_sampler();
    ledger_.closing(actor);
    {
      const Actor::InCall call(actor, "~ResourcePool");
      look_away();
      pool_.reset();
    }
    ledger_.closed(actor, false);
  }

  // ---- audits
  // ------------------------------------------------------------------------------------ Nobody is
  // in a verb and no lease is out: the pool must come to rest, and then show every thing there is
  // as idle, and nothing else (I1, I2, I7). Whatever is idle can be had, or is destroyed because a
  // reset came while it was in the making.
  void audit_at_rest(Actor& actor) {
    const Actor::InCall call(actor, "audit");
    PoolCounts counts;
    const bool rests = comes_true(Watchdog::instance().limit() / 2, [&] {
      counts = pool_->counts();
      return counts.leased + counts.connecting + counts.checking + counts.waiting == 0 &&
             counts.idle == ledger_.live();
    });
    require(rests, "I2", "at rest the pool shows leased ", counts.leased, ", connecting ",
            counts.connecting, ", checking ", counts.checking, ", waiting ", counts.waiting,
            ", idle ", counts.idle, "; there are ", ledger_.live(), " things");
    ledger_.compare(pool_->stats(), false);
    auto all = acquire_all_idle(actor);
    require(
        comes_true(Watchdog::instance().limit() / 2, [&] { return ledger_.live() == all.size(); }),
        "I2", ledger_.live(), " things exist at rest, ", all.size(), " can be had");
    for (Held& held : all) release(std::move(held), &actor);
  }
  // Closes, waits for what is out, and compares the books for the last time (I5, I7, I11). Where
  // the scenario has closed the pool already, nothing may be left for this to sweep up.
  void audit_and_close(Actor& actor) {
    stop_sampler();
    if (ledger_.fence_stands()) {
      const Actor::InCall call(actor, "audit");
      require(comes_true(Watchdog::instance().limit() / 2, [&] { return ledger_.live() == 0; }),
              "I5", "the pool is closed, everything is back, and ", ledger_.live(),
              " things live on");
    }
    require(close(actor, Deadline::never()), "I7",
            "close without a deadline says it is not drained");
    ledger_.compare(pool_->stats(), true);
    destroy(actor);
    ledger_.nothing_left();
  }

 private:
  core::ResourcePoolConfig<Thing> config_of(const Shape& shape) {
    return {.create = [this](std::stop_token stop,
                             Deadline deadline) { return factory_.make(stop, deadline); },
            .destroy = [](Thing&& thing) { thing.destroy(); },
            .max_size = shape.max_size,
            .max_waiters = shape.max_waiters,
            .gates = shape.gates,
            .max_opening = shape.max_opening,
            .barge_window = shape.barge_window,
            .backoff_min = std::chrono::milliseconds(1),
            .backoff_max = std::chrono::milliseconds(4)};
  }

  template <class Finish>
  void end(Held held, Actor* on, const char* verb, Ledger::End how, Finish&& finish) {
    const std::uint32_t line = on != nullptr ? on->index : ~std::uint32_t{0};
    ledger_.ending(held.acquirer_, held.thing(), how);
    if (on != nullptr) {
      const Actor::InCall call(*on, verb);
      finish(held.lease_);
    } else {
      finish(held.lease_);
    }
    ledger_.ended(line, how);
  }

  void start_sampler(std::uint32_t index, std::uint64_t seed) {
    sampler_ = std::jthread([this, index, seed](const std::stop_token& stop) {
      Actor actor(index, Random::stream(seed, index));
      while (!stop.stop_requested()) {
        sample(actor);
        std::this_thread::sleep_for(actor.random.up_to(std::chrono::microseconds(4000)));
      }
    });
  }
  void sample(Actor& actor) {
    const Actor::InCall call(actor, "counts");
    const PoolCounts c = actor.random.chance(1, 4) ? pool_->stats().counts : pool_->counts();
    const std::uint64_t sum = std::uint64_t{c.leased} + c.idle + c.connecting + c.checking;
    require(sum <= ledger_.max_size(), "I1", "leased ", c.leased, " + idle ", c.idle,
            " + connecting ", c.connecting, " + checking ", c.checking, " of ", ledger_.max_size());
    // All states together are max_size, exactly: what the states have and what the books have are
    // read under the one mutex. Between the fence and the end of close() a slot may be in neither.
    require(pool_->balances() || ledger_.is_closing(), "I1", "states and books differ:\n",
            pool_->describe());
  }
  void stop_sampler() {
    if (sampler_.joinable()) {
      sampler_.request_stop();
      sampler_.join();
    }
  }

  // ---- for the watchdog, on its thread: no lock of the pool's -----------------------------------
  Watchdog::Progress progress() {
    std::lock_guard lock(looking_);
    return ledger_.progress(can_look_ ? pool_->places() : last_places_);
  }
  std::string describe() {
    std::lock_guard lock(looking_);
    return can_look_ ? pool_->describe() : "as its destructor began:\n" + last_description_;
  }
  // From here on the pool's memory may go.
  void look_away() {
    std::lock_guard lock(looking_);
    last_places_ = pool_->places();
    last_description_ = pool_->describe();
    can_look_ = false;
  }

  Ledger ledger_;
  Factory factory_;
  const StressSync::Docks docks_;
  std::unique_ptr<Pool> pool_;
  std::mutex looking_;  // guards the next three, and the pool from its end
  bool can_look_ = true;
  PoolCounts last_places_;
  std::string last_description_;
  Status status_;
  std::jthread sampler_;
};

extern template class LedgerPool<StressSync>;

}  // namespace tidegate::stress

extern template class tidegate::core::SlotPool<tidegate::stress::StressSync>;
