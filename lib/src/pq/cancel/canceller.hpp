// Canceller: sends cancel requests, all of them on one thread that never waits for a server.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/fork.hpp>
#include <tidegate/pq/cancel_group.hpp>

#include "pq/cancel/cancel_call.hpp"
#include "pq/cancel/cancel_target.hpp"

namespace tidegate::pq {

// Sends the requests of all groups, each by itself (CancelCall) and for kBound at most. At most
// kPerServer requests of one group are on their way to one server at once, so that a server that
// does not answer costs only that many descriptors. The rest of them wait, and so do those that a
// group's rate does not allow yet. No other request waits for these.
class Canceller {
 public:
  static constexpr unsigned kPerServer = 16;
  static constexpr std::chrono::seconds kBound{5};

  using MakeCall = std::function<std::unique_ptr<CancelCall>(const CancelTarget&)>;
  enum class Asked : std::uint8_t {
    accepted,
    idle,       // no statement is under way: there is nothing to cancel
    no_thread,  // the system gives none, or no descriptor for it
  };

  // The process's: made by the first caller, gone with the last holder.
  static std::shared_ptr<Canceller> shared();

  explicit Canceller(MakeCall make, std::chrono::milliseconds bound = kBound);
  // Ends the thread; requests that have just been sent get a moment for their answer.
  ~Canceller();
  Canceller(const Canceller&) = delete;
  Canceller& operator=(const Canceller&) = delete;

  // Any thread. One request is enough: another one while the first is on its way changes nothing.
  Asked request(const std::shared_ptr<CancelTarget>& target) noexcept;
  // Takes back a request that still waits for its turn.
  void withdraw(const CancelTarget& target) noexcept;
  // The session's thread, with no statement under way: what was sent is over, though the requests'
  // connections have not ended. They stay open until they end, since a pooler may not bear an
  // earlier end (PgBouncer 1.18); but nobody waits for them.
  void forget(CancelTarget& target) noexcept;
  // Waits until no request for the target is on its way; false at the deadline: it counts as stuck.
  bool wait(CancelTarget& target, Deadline deadline) noexcept;
  // For a group, as CancelGroup says.
  void give_up(const CancelBooks& books) noexcept;
  std::vector<CancelGroup::Hanging> hanging(const CancelBooks& books, Deadline deadline);

 private:
  using Clock = std::chrono::steady_clock;
  struct Flight;
  struct State;
  class Loop;
  // Shared with the thread.
  std::shared_ptr<State> state_;
  const std::uint32_t forks_ = detail::ForkHook::forks();
};

}  // namespace tidegate::pq
