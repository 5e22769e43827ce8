// ResourceMaker: what the user of a ResourceCore makes, checks and ends; and why resources went.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string_view>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/expected.hpp>
#include <tidegate/core/openers.hpp>
#include <tidegate/core/slot.hpp>

namespace tidegate::core {

// Why a resource was destroyed, or left the pool.
enum class Retired : std::uint8_t {
  lifetime,
  idle,
  broken,
  ping,
  hook,
  reset,
  dirty,
  generation,
  shutdown,
  hijacked,
};
inline constexpr std::size_t kRetiredReasons = 10;
constexpr std::string_view to_string(Retired reason) noexcept {
  constexpr std::array<std::string_view, kRetiredReasons> kNames{
      "lifetime", "idle",  "broken",     "ping",     "hook",
      "reset",    "dirty", "generation", "shutdown", "hijacked"};
  return kNames[static_cast<std::size_t>(reason)];
}

// What the check before hand-out says of a slot.
enum class Checked : std::uint8_t {
  use,   // it may be handed out
  next,  // the slot has been moved on (replace, set_aside); the search goes on with the admission
  fail,  // the slot has been moved on and the admission is over: the acquire ends with Errc::hook
};

// The user's side of a ResourceCore. create runs on openers and may block until its stop fires.
template <class T>
struct ResourceMaker {
  std::function<Expected<T>(std::stop_token, Deadline)> create{};
  // When a resource made now expires on the coarse clock; unset: never.
  std::function<Tick(Tick now)> expires{};
  // A slot is in `retiring`, or wants a check: the user calls take_to_retire() and finish(), and
  // take_to_check(), soon. Any thread, under the wait mutex: must not block, allocate or call back.
  std::function<void()> retire_wanted{};
  // An opening found no thread to run on: the user calls slots().grow() after a while, or the
  // waiters wait in vain. Any thread that acquires, or maintenance; must not block.
  std::function<void()> no_thread{};
  // Ends a resource; may block. Runs on the owner's thread (finish), on an opener whose creation
  // was given up, or, when the pool is gone, on the thread that brings a late lease back. Unset:
  // ~T.
  std::function<void(T&&)> destroy{};
  // Says why a returned resource may not be handed out again; nothing: it may. Any releasing
  // thread; reads fields only. Unset: it may.
  std::function<std::optional<Retired>(T&)> unfit{};
  // Whether a resource gets a hook job before its end. After retire_wanted the user calls
  // start_hook_jobs(). Any thread, under the wait mutex: reads fields only. Unset: no.
  std::function<bool(T&)> ends_with_hook{};
  // Does the hook job of a slot in `checking` or `retiring`, and moves the slot on. Runs on openers
  // and may block until the stop fires; then it moves the slot on at once, without the job.
  std::function<void(std::uint32_t slot, const std::stop_token&)> hook_job{};
  // The error for a creation that nobody waits for any more. If the creation still makes a
  // resource, `destroy` gets it. Runs on the thread that calls openers().give_up_overdue(), or on
  // an opener. Unset: an error saying that the creation has not returned.
  std::function<ErrorValue(const Overdue&)> overdue{};
  // A creation has failed, and the next one may begin at `next_attempt`. Runs on openers, or on the
  // thread that calls openers().give_up_overdue().
  std::function<void(std::chrono::steady_clock::time_point next_attempt)> backing_off{};
  // The core is gone, so everything that the functions above refer to may go now. The last call.
  std::function<void()> gone{};
};

}  // namespace tidegate::core
