// ModelPool: the core as it is, with an owner that keeps the books, for one run of a scenario.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include <models/model_lane.hpp>
#include <models/relacy_sync.hpp>
#include <tidegate/core/slot_pool.hpp>
#include <tidegate/core/slot_pool_bodies.hpp>

namespace tidegate::models {

using core::Entry;
using core::Found;
using core::OpenFailure;
using core::Search;
using core::SlotState;
using core::Ticket;

inline const Deadline kSomeDay{std::chrono::steady_clock::time_point(std::chrono::hours(1 << 20))};

// What is plain here is written by one fiber at a time. What is an rl::var is checked by Relacy:
// two accesses that nothing orders are a data race, however the fibers took turns.
class ModelPool final : private core::SlotOwner {
 public:
  using Core = core::SlotPool<RelacySync>;
  static constexpr std::uint32_t kSlots = 2;

  // The first `idle` slots are idle.
  ModelPool(const core::SlotPoolLimits& limits, std::uint32_t idle)
      : core_(new Core(limits, *this)) {
    Run::fenced = Run::core_freed = false;
    Parker::kernel = &kernel_;
    for (auto& footprint : footprints_) footprint(RL_INFO).store(0);
    for (std::uint32_t i = 0; i < idle; ++i) {
      const auto slot = core_->reserve_to_open();
      begin(*slot);
      core_->opened(*slot);
    }
  }

  Core* operator->() noexcept { return core_.get(); }
  // For scenarios of lanes, which leave the pool alone.
  ModelLane& lane() noexcept { return lane_; }

  // ---- what lessees do -----------------------------------------------------------------------

  Found acquire(Deadline deadline) {
    return acquire_by([&](std::uint32_t gate) {
      Search search{.deadline = deadline};
      return core_->find(gate, search);
    });
  }
  // The same for a caller that is called back: this thread is its loop. A deadline is a timer.
  Found acquire_called_back(Deadline deadline) {
    return acquire_by([&](std::uint32_t gate) {
      return waiters_[rl::thread_index()].emplace(*this, gate).find(deadline);
    });
  }
  void release(Ticket ticket) {
    end_lease(ticket);
    core_->release(ticket);
  }
  void discard(Ticket ticket) {
    end_lease(ticket);
    core_->discard(ticket);
  }
  void give_to_maintenance(Ticket ticket) {
    end_lease(ticket);
    core_->give_to_maintenance(ticket);
  }
  // Takes what is idle at once, if anything is, and gives it back.
  void try_lease() {
    const bool told = told_closed_;
    const Core::Entered entered = core_->enter();
    if (entered.entry == Entry::closed) {
      told_closed_ = true;
      return;
    }
    check(!told, "I9: somebody was told closed, and then it is not");
    leave_footprint();
    std::optional<Ticket> ticket = entered.ticket;
    if (entered.entry == Entry::admitted) ticket = core_->find_idle(entered.ticket.gate());
    if (!ticket) return;
    begin_lease(*ticket);
    release(*ticket);
  }
  // Takes what there is, and gives it back. What ended it otherwise, if something did.
  std::optional<Errc> lease(Deadline deadline) { return give_back(acquire(deadline)); }
  std::optional<Errc> lease_called_back(Deadline deadline) {
    return give_back(acquire_called_back(deadline));
  }

  // Returns when `count` threads are here.
  void meet(int count) {
    ++met_;
    kernel_.wake(&met_);
    while (met_ < count) kernel_.sleep(&met_, false);
  }

  // ---- what the pool's own threads do --------------------------------------------------------

  // Opens, looks at and ends what is to be, until no client is left: an opener and maintenance. The
  // first openings fail as `failures` says.
  template <std::size_t N = 0>
  void serve(const std::array<OpenFailure, N>& failures = {},
             std::chrono::steady_clock::time_point next_attempt = {}) {
    for (std::size_t opened = 0;;) {
      const int rings = rings_;
      if (const auto slot = core_->take_to_open()) {
        if (opened < N) {
          core_->open_failed(*slot, failures[opened++], next_attempt);
        } else {
          begin(*slot);
          core_->opened(*slot);
        }
      } else if (const auto checked = core_->take_to_check()) {
        use(*checked);
        core_->put_back(*checked);
      } else if (!retire_one()) {
        if (clients_ == 0) return;
        if (rings == rings_) kernel_.sleep(&rings_, false);
      }
    }
  }
  // Looks at an idle slot, if there is one, as a ping does.
  void look_at_idle() {
    for (std::uint32_t gate = 0; gate < core_->gate_count(); ++gate) {
      auto slot = core_->try_check_docked(gate);
      if (!slot && core_->try_check(0)) slot = 0;
      if (!slot) continue;
      use(*slot);
      core_->put_back(*slot);
    }
  }
  // As maintenance does before it looks at all idle slots.
  void empty_docks() { core_->empty_docks(); }
  bool retire_one() {
    const auto slot = core_->take_to_retire();
    if (!slot) return false;
    end(*slot);
    core_->retired(*slot);
    return true;
  }
  void client_done() {
    --clients_;
    ring();
  }

  void await_clients() {
    while (clients_ > 0) kernel_.sleep(&rings_, false);
  }

  // ---- close ---------------------------------------------------------------------------------

  // As a pool's close() does: true when all leases came back, and all that they did is to be seen;
  // false when it gave up on some.
  bool close(Deadline deadline) {
    closes_ = true;
    core_->close();
    const bool drained = core_->await_drained(deadline);
    if (drained) {
      for (auto& footprint : footprints_) static_cast<void>(footprint(RL_INFO).load());
    } else {
      core_->orphan_leases();
    }
    return drained;
  }
  // As a pool's destructor does. Other threads may still be on their way out.
  void let_go() {
    while (retire_one()) continue;
    leave_footprint();
    let_go_ = true;
    core_->unref();
  }

  // With every thread at its end: what must hold however it went.
  void finish() {
    const bool freed = std::exchange(Run::core_freed, false);  // its memory is still there
    lane_.finish();
    if (!closes_) core_->close();
    for (std::uint32_t slot = 0; slot < core_->limits().max_size; ++slot) {
      check(core_->state(slot) != SlotState::idle, "I4: a slot is idle after close");
      check(!leased_[slot], "I6: a lease is left over");
    }
    check(core_->drained(), "I7: an admission is left over");
    const bool let_go_before = let_go_;
    if (!let_go_) let_go();
    for (const Life& life : lives_) {
      check(life.begun == life.ended, "I5: a resource was not ended exactly once");
    }
    check(frees_ == 1 && freed == let_go_before, "I5: the core was not freed exactly once");
    Run::core_freed = false;
  }

 private:
  // An acquire that is called back, as a coroutine's is: whoever ends its wait ends the search,
  // too, and sends the result to its loop, which looks at the gate once more.
  class Waiter {
   public:
    Waiter(ModelPool& pool, std::uint32_t gate) : pool_(pool), gate_(gate) {
      node_.called_back = [](Core::Node& node) noexcept {
        static_cast<Waiter*>(node.owner)->called_back();
      };
      node_.owner = this;
    }
    Found find(Deadline deadline) {
      search_.deadline = deadline;
      if (const auto found = pool_.core_->begin_find(gate_, search_, node_)) return *found;
      for (bool timed = !deadline.is_never(); sent_.load(rl::mo_acquire, RL_INFO) == 0;) {
        // The loop looks again, and sleeps in the same step.
        if (sent_.fetch_add(0, rl::mo_relaxed, RL_INFO) != 0) continue;
        if (pool_.kernel_.sleep(this, timed)) continue;
        timed = false;
        if (!pool_.core_->withdraw(node_, core::wait_word::kTimedOut)) continue;
        withdrawn_ = true;
        return end();
      }
      letter_(RL_INFO).load();
      if (!found_.error && !pool_.core_->still_open(found_.ticket)) return {Errc::closed, {}, true};
      return found_;
    }

   private:
    void called_back() {
      found_ = end();
      check(!withdrawn_, "I8: a waiter is called back that was withdrawn");
      letter_(RL_INFO).store(1);
      Futexes& kernel = pool_.kernel_;
      sent_.store(1, rl::mo_release, RL_INFO);  // as posting does; the waiter may be gone then
      kernel.wake(this);
    }
    Found end() noexcept { return pool_.core_->end_find(gate_, search_, node_); }

    ModelPool& pool_;
    const std::uint32_t gate_;
    Search search_{};
    Core::Node node_{};
    Found found_{};
    rl::var<int> letter_{};  // the found one
    rl::atomic<unsigned> sent_{0};
    bool withdrawn_ = false;
  };

  // find(gate): for who is admitted.
  template <class Find>
  Found acquire_by(Find&& find) {
    const bool told = told_closed_;
    const Core::Entered entered = core_->enter();
    Found found{std::nullopt, entered.ticket, false};
    if (entered.entry == Entry::closed) {
      found = {Errc::closed, {}, false};
    } else {
      leave_footprint();
      if (entered.entry == Entry::admitted) found = find(entered.ticket.gate());
      if (!found.error) begin_lease(found.ticket);
    }
    told_closed_ |= found.error == Errc::closed;
    check(!told || found.error == Errc::closed, "I9: somebody was told closed, and then it is not");
    return found;
  }
  std::optional<Errc> give_back(const Found& found) {
    if (!found.error) release(found.ticket);
    return found.error;
  }

  struct Life {
    int begun = 0;
    int ended = 0;
  };

  void begin(std::uint32_t slot) {
    ++lives_[slot].begun;
    use(slot);
  }
  void end(std::uint32_t slot) {
    check(!leased_[slot], "I5: a resource is ended under a lease");
    ++lives_[slot].ended;
    use(slot);
  }
  void use(std::uint32_t slot) { resources_[slot](RL_INFO).store(1); }
  void begin_lease(Ticket ticket) {
    const std::uint32_t slot = ticket.slot();
    check(!Run::sequential || !Run::fenced, "I4: a lease begins after the fence");
    check(!leased_[slot], "I2: a slot is leased twice");
    leased_[slot] = true;
    use(slot);
  }
  void end_lease(Ticket ticket) {
    leave_footprint();
    use(ticket.slot());
    leased_[ticket.slot()] = false;
  }
  // The calling thread was here; free_core() has to come after it.
  void leave_footprint() { footprints_[rl::thread_index()](RL_INFO).store(1); }

  void ring() {
    ++rings_;
    kernel_.wake(&rings_);
  }

  void on_open_wanted(std::uint32_t) noexcept override { ring(); }
  void on_retire_wanted() noexcept override { ring(); }
  void finish_orphan(std::uint32_t slot) noexcept override { end(slot); }
  void free_core() noexcept override {
    ++frees_;
    Run::core_freed = true;
    for (auto& footprint : footprints_) footprint(RL_INFO).store(2);
  }

  Futexes kernel_;
  ModelLane lane_{};
  // By thread, each once; kept, to see who is called back too late.
  std::array<std::optional<Waiter>, kThreads> waiters_{};
  bool told_closed_ = false;  // some acquire was
  std::array<rl::var<int>, kSlots> resources_;
  std::array<rl::var<int>, kThreads> footprints_;
  std::array<Life, kSlots> lives_{};
  std::array<bool, kSlots> leased_{};
  int clients_ = kThreads - 1;  // of serve()
  int rings_ = 0;
  int met_ = 0;
  int frees_ = 0;
  bool closes_ = false;
  bool let_go_ = false;
  std::unique_ptr<Core> core_;
};

}  // namespace tidegate::models
