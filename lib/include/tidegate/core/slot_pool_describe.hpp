// SlotPool's bodies: what the pool looks like inside, as numbers and as text for people.
#pragma once

#include <algorithm>
#include <string>

#include <tidegate/core/slot_pool.hpp>

namespace tidegate::core {

template <class Sync>
PoolCounts SlotPool<Sync>::places() const noexcept {
  PoolCounts counts{.max = limits_.max_size};
  std::uint32_t out = 0;
  const auto add_errand = [&counts](Errand errand) {
    if (errand == Errand::ping) ++counts.pinging;
    if (errand == Errand::reset) ++counts.resetting;
    if (errand == Errand::after_release || errand == Errand::before_close) ++counts.in_hooks;
  };
  for (std::uint32_t i = 0; i < limits_.max_size; ++i) {
    switch (states_.get(i)) {
      case SlotState::idle: ++counts.idle; break;
      case SlotState::out: ++out; break;
      case SlotState::opening: ++counts.connecting; break;
      case SlotState::checking:
        ++counts.checking;
        add_errand(slots_[i].errand());
        break;
      case SlotState::retiring:
        ++counts.retiring;
        add_errand(slots_[i].errand());
        break;
      case SlotState::empty: break;
    }
  }
  std::uint32_t docked = 0;
  for (std::uint32_t g = 0; g <= gate_mask_; ++g) {
    docked += gate_word::docked(gates_[g].load());
  }
  docked = std::min(docked, out);  // the two were not read in one instant
  counts.leased = out - docked;
  counts.idle += docked;
  counts.waiting = waiting();
  return counts;
}

template <class Sync>
PoolCounts SlotPool<Sync>::counts() const noexcept {
  PoolCounts counts = places();
  const Lock lock(mutex_);
  counts.waiting = waiters_.size();
  if (const Node* oldest = waiters_.oldest()) counts.oldest_wait = Sync::now() - oldest->since;
  return counts;
}

// Under the wait mutex no slot enters or leaves this group of three states, and places() looks at
// each slot once.
template <class Sync>
typename SlotPool<Sync>::Census SlotPool<Sync>::census() const noexcept {
  const Lock lock(mutex_);
  const PoolCounts now = places();
  return {.by_state = now.idle + now.leased + now.checking, .by_books = books_.open()};
}

template <class Sync>
bool SlotPool<Sync>::rejected_since(std::uint64_t failures_before) const noexcept {
  const Lock lock(mutex_);
  return last_failure_ == OpenFailure::rejected &&
         (failures() > failures_before || Sync::now() < next_attempt_);
}

template <class Sync>
std::uint32_t SlotPool<Sync>::retiring() const noexcept {
  const Lock lock(mutex_);
  return books_.retiring();
}

// checking, reset
template <class Sync>
std::string SlotPool<Sync>::describe(std::uint32_t slot) const {
  const SlotState state = states_.get(slot);
  std::string text(to_string(state));
  if ((state == SlotState::checking || state == SlotState::retiring) &&
      slots_[slot].errand() != Errand::none) {
    text += ", " + std::string(to_string(slots_[slot].errand()));
  }
  if (states_.queued(slot)) text += ", queued";
  if (const std::int32_t holder = slots_[slot].holder()) {
    text += ", thread " + std::to_string(holder);
  }
  return text;
}

// gate 0: open, leases 2, docked 3 4
// slot 0: out, thread 4711
// slot 1: checking, reset
// slot 2: idle, queued
// slot 3: out
// slot 4: out
// waiters 0, of which strict 0; openings 4, failed 0
template <class Sync>
std::string SlotPool<Sync>::describe() const {
  std::string text;
  for (std::uint32_t g = 0; g <= gate_mask_; ++g) {
    std::uint64_t word = gates_[g].load();
    text += "gate " + std::to_string(g) + (gate_word::closed(word) ? ": closed" : ": open");
    if (gate_word::waiting(word)) text += ", waiting";
    if (gate_word::orphaned(word)) text += ", orphaned";
    text += ", leases " + std::to_string(gate_word::leases(word));
    for (const char* before = ", docked "; gate_word::any_docked(word); before = " ") {
      text += before + std::to_string(gate_word::first_docked(word, Sync::dock_shift()));
      word = gate_word::undock(word);
    }
    text += '\n';
  }
  for (std::uint32_t i = 0; i < limits_.max_size; ++i) {
    text += "slot " + std::to_string(i) + ": " + describe(i) + '\n';
  }
  text += "waiters " + std::to_string(waiting()) + ", of which strict " + std::to_string(strict()) +
          "; openings " + std::to_string(openings()) + ", failed " + std::to_string(failures());
  if (const std::uint64_t count = shut_down()) text += "; shut down " + std::to_string(count);
  text += '\n';
  return text;
}

}  // namespace tidegate::core
