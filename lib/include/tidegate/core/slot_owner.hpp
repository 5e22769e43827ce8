// SlotOwner: what the protocol of a SlotPool asks of whoever has the resources.
#pragma once

#include <cstdint>

namespace tidegate::core {

// How an opening failed, as far as waiters care (the owner keeps the text).
enum class OpenFailure : std::uint8_t {
  none,
  unavailable,  // try again; waiters go on waiting
  no_thread,    // like unavailable, but only the next grow() asks again
  rejected,     // hopeless for now: fails waiters at once while nothing is open
  aborted,      // given up: the pool closes, or the caller that wanted it has stopped
};

// What the protocol asks of its owner. Called with no lock held, unless a function says otherwise.
class SlotOwner {
 public:
  // `count` more slots are in `opening`: the owner sees to it that take_to_open() is called. Any
  // acquiring or maintaining thread; must not block.
  virtual void on_open_wanted(std::uint32_t count) noexcept = 0;
  // A slot is in `retiring`, or waits in `checking` for a check: the owner sees to it that
  // take_to_retire() and take_to_check() are called. Any thread, also one that releases, under the
  // wait mutex (so that no call comes after orphan_leases()): must neither block, nor allocate, nor
  // call back.
  virtual void on_retire_wanted() noexcept = 0;
  // Whether `slot`, now in `retiring`, needs a hook job before its end. If so, take_hook_job()
  // gives it out, and take_to_retire() does not yet. Under the wait mutex, as above.
  virtual bool ends_with_hook(std::uint32_t) noexcept { return false; }
  // The pool is gone and the lease of `slot` came back late: destroy its resource here and now.
  virtual void finish_orphan(std::uint32_t slot) noexcept = 0;
  // Nobody refers to the core any more. The last touch: may delete the SlotPool.
  virtual void free_core() noexcept = 0;

 protected:
  ~SlotOwner() = default;
};

}  // namespace tidegate::core
