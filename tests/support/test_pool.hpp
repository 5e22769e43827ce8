// TestPool: a SlotPool with an owner that makes and ends nothing but keeps the books.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <support/manual_sync.hpp>
#include <support/rendezvous.hpp>
#include <tidegate/core/slot_pool.hpp>
#include <tidegate/core/slot_pool_bodies.hpp>

namespace tidegate::test {

using core::Entry;
using core::Found;
using core::OpenFailure;
using core::Search;
using core::SlotState;
using core::Ticket;

// The core on the heap, freed by its last reference (free_core), which ASan watches. Each slot has
// a plain int for a resource: TSan sees two owners, and a life that ends twice is counted.
template <class Sync>
class TestPool : private core::SlotOwner {
 public:
  using Pool = core::SlotPool<Sync>;

  explicit TestPool(const core::SlotPoolLimits& limits)
      : lives_(limits.max_size), pool_(new Pool(limits, *this)) {}
  // With a test's leases back: everything was ended once, and the core goes with the pool.
  ~TestPool() {
    if (!let_go_) {
      pool_->close();
      EXPECT_TRUE(pool_->drained()) << "a lease or an admission is still out";
      retire_all();
      let_go();
      EXPECT_EQ(freed(), 1);
    }
    for (const Life& life : lives_) EXPECT_EQ(life.begun, life.ended);
  }
  TestPool(const TestPool&) = delete;
  TestPool& operator=(const TestPool&) = delete;

  Pool& operator*() noexcept { return *pool_; }
  Pool* operator->() noexcept { return pool_; }

  // Makes `count` resources, which become idle (or go to waiters).
  void open(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto slot = pool_->reserve_to_open();
      ASSERT_TRUE(slot.has_value()) << "the pool is full";
      opened(*slot);
    }
  }
  // Does what an opener does, once: false when nothing is to be opened.
  bool open_one() {
    const auto slot = pool_->take_to_open();
    if (slot) opened(*slot);
    return slot.has_value();
  }
  void opened(std::uint32_t slot) {
    ++lives_[slot].begun;
    pool_->opened(slot);
  }
  bool fail_one(OpenFailure why, ManualClock::TimePoint until = {}) {
    const auto slot = pool_->take_to_open();
    if (slot) pool_->open_failed(*slot, why, until);
    return slot.has_value();
  }
  // Does what maintenance does; returns the slots whose resources it ended.
  std::vector<std::uint32_t> retire_all() {
    std::vector<std::uint32_t> slots;
    while (const auto slot = pool_->take_to_retire()) {
      ++lives_[*slot].ended;
      pool_->retired(*slot);
      slots.push_back(*slot);
    }
    return slots;
  }

  Found acquire(Search& search, unsigned gate = 0) {
    Sync::gate_of_thread() = gate;
    const auto entered = pool_->enter();
    Found found{std::nullopt, entered.ticket, false};
    if (entered.entry == Entry::closed) return {Errc::closed, {}, false};
    if (entered.entry == Entry::admitted) found = pool_->find(entered.ticket.gate(), search);
    if (!found.error) use(found.ticket);
    return found;
  }
  Found acquire(Deadline deadline = Deadline::now(), unsigned gate = 0) {
    Search search{.deadline = deadline};
    return acquire(search, gate);
  }
  // A lease that must be there without a wait.
  Ticket take(unsigned gate = 0) {
    const Found found = acquire(Deadline::now(), gate);
    EXPECT_FALSE(found.error) << "nothing was idle";
    return found.ticket;
  }
  void use(Ticket ticket) {
    Life& life = lives_[ticket.slot()];
    EXPECT_EQ(life.begun, life.ended + 1) << "slot " << ticket.slot() << " has no resource";
    ++life.uses;
  }
  // The resource leaves with its holder.
  void forget(Ticket ticket) {
    ++lives_[ticket.slot()].ended;
    pool_->forget(ticket);
  }
  // Lets the core go, as a pool's destructor does. It is not to be used any more.
  void let_go() {
    let_go_ = true;
    pool_->unref();
  }

  // Openings asked for (on_open_wanted), retirements announced, late leases ended, cores freed: so
  // far.
  int opens_wanted() const { return opens_wanted_; }
  int retires_wanted() const { return retires_wanted_; }
  std::vector<std::pair<std::uint32_t, std::thread::id>> finished_late() const {
    std::lock_guard lock(mutex_);
    return finished_orphans_;
  }
  int freed() const { return freed_; }
  // From here on what comes to its end has a hook job before.
  void end_with_hooks() { hooks_ = true; }

  // With barge_window 0 these waiters have looked at everything and asked for what they need: they
  // hold the wait mutex until they park.
  // opens_wanted(), once it is `expected` or patience ends: it is told outside the wait mutex, so
  // it may come later than everything else that a test can see.
  template <class Count>
  auto opens_wanted_at_last(Count expected) {
    const Deadline patience(std::chrono::seconds(20));
    while (opens_wanted() != static_cast<decltype(opens_wanted())>(expected) &&
           !patience.passed()) {
      std::this_thread::yield();
    }
    return opens_wanted();
  }
  void await_waiting(std::uint32_t count) {
    await(std::to_string(count) + " waiters", [&] { return pool_->counts().waiting == count; });
  }
  std::uint32_t slots_in(SlotState state) {
    std::uint32_t count = 0;
    for (std::uint32_t i = 0; i < pool_->limits().max_size; ++i) count += pool_->state(i) == state;
    return count;
  }

 private:
  struct Life {
    int begun = 0;
    int ended = 0;
    int uses = 0;
  };

  void on_open_wanted(std::uint32_t count) noexcept override {
    opens_wanted_ += static_cast<int>(count);
  }
  void on_retire_wanted() noexcept override { ++retires_wanted_; }
  bool ends_with_hook(std::uint32_t) noexcept override { return hooks_; }
  void finish_orphan(std::uint32_t slot) noexcept override {
    ++lives_[slot].ended;
    std::lock_guard lock(mutex_);
    finished_orphans_.emplace_back(slot, std::this_thread::get_id());
  }
  void free_core() noexcept override {
    delete pool_;
    pool_ = nullptr;
    ++freed_;
  }

  std::vector<Life> lives_;
  std::atomic<int> opens_wanted_{0};
  std::atomic<int> retires_wanted_{0};
  std::atomic<int> freed_{0};
  std::atomic<bool> hooks_{false};
  mutable std::mutex mutex_;
  std::vector<std::pair<std::uint32_t, std::thread::id>> finished_orphans_;
  bool let_go_ = false;
  Pool* pool_;
};

// A thread that acquires. end() joins it and says what it got.
template <class Sync>
class Acquirer {
 public:
  explicit Acquirer(TestPool<Sync>& pool, Search search = {}, unsigned gate = 0)
      : search_(std::move(search)), thread_([this, &pool, gate] {
          id_ = core::current_thread_id();
          found_ = pool.acquire(search_, gate);
          done_ = true;
        }) {}
  ~Acquirer() {
    if (thread_.joinable()) thread_.join();
  }
  Acquirer(const Acquirer&) = delete;
  Acquirer& operator=(const Acquirer&) = delete;

  Found end() {
    await("an acquire to end", [this] { return done(); });
    thread_.join();
    return found_;
  }
  bool done() const { return done_; }
  // Returns when it has ended or sleeps, on whatever.
  void await_asleep() const {
    await("an acquire to sleep", [this] { return done() || (id_ != 0 && asleep(id_)); });
  }

 private:
  Search search_;
  Found found_;
  std::atomic<std::int32_t> id_{0};
  std::atomic<bool> done_{false};
  std::thread thread_;
};

using FutexSync = OnGate<core::StdSync>;
using CondvarSync = OnGate<core::CondvarSync>;
// With docks as wide as in production.
struct WideSync : FutexSync {
  static constexpr unsigned dock_shift() noexcept { return core::StdSync::dock_shift(); }
};
using AllSyncs = testing::Types<FutexSync, CondvarSync, ManualSync>;

struct SyncNames {
  template <class Sync>
  static std::string GetName(int) {
    if (std::is_same_v<Sync, FutexSync>) return "Futex";
    return std::is_same_v<Sync, CondvarSync> ? "Condvar" : "Manual";
  }
};

}  // namespace tidegate::test
