// SlotPool's bodies: what it looks like inside, for people.
#pragma once

#include <string>

#include <tidegate/core/slot_pool.hpp>

namespace tidegate::core {

// gate 0: open, waiting, leases 18, slot 3 docked
// slot 0: out, thread 4711
// waiters 16, of which strict 16; openings 4, failed 0
template <class Sync>
std::string SlotPool<Sync>::describe() const {
  std::string text;
  for (std::uint32_t g = 0; g <= gate_mask_; ++g) {
    const std::uint64_t word = gates_[g].load();
    text += "gate " + std::to_string(g) + (gate_word::closed(word) ? ": closed" : ": open");
    if (gate_word::waiting(word)) text += ", waiting";
    if (gate_word::orphaned(word)) text += ", orphaned";
    text += ", leases " + std::to_string(gate_word::leases(word));
    if (gate_word::has_dock(word)) {
      text += ", slot " + std::to_string(gate_word::docked_slot(word)) + " docked";
    }
    text += '\n';
  }
  for (std::uint32_t i = 0; i < limits_.max_size; ++i) {
    text += "slot " + std::to_string(i) + ": ";
    text += to_string(states_.get(i));
    if (states_.queued(i)) text += ", queued";
    if (const std::int32_t holder = slots_[i].holder()) {
      text += ", thread " + std::to_string(holder);
    }
    text += '\n';
  }
  text += "waiters " + std::to_string(waiters_.size()) + ", of which strict " +
          std::to_string(waiters_.strict()) + "; openings " + std::to_string(openings()) +
          ", failed " + std::to_string(failures());
  if (const std::uint64_t count = shut_down()) text += "; shut down " + std::to_string(count);
  text += '\n';
  return text;
}

}  // namespace tidegate::core
