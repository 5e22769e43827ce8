// Canceller: sends cancel requests, on threads of its own.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include <tidegate/base/deadline.hpp>
#include <tidegate/pq/cancel_group.hpp>
#include <tidegate/pq/session_state.hpp>

struct pg_cancel;  // libpq's PGcancel

namespace tidegate::pq {

// What a CancelGroup counts. Threads in the middle of a request may outlive the group.
struct CancelBooks {
  explicit CancelBooks(std::uint32_t rate) : per_second(rate > 0 ? rate : 1) {}

  const std::uint32_t per_second;
  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> failed{0};
  std::atomic<std::uint64_t> stuck{0};
  // When the requests of the last second were sent. The canceller's mutex.
  std::deque<std::chrono::steady_clock::time_point> recent{};
};

struct FreeCancelKey {
  void operator()(pg_cancel* key) const noexcept;
};
using CancelKey = std::unique_ptr<pg_cancel, FreeCancelKey>;

// One session as the canceller sees it: how to reach it, and what it was sent.
//
// The state is one word, so that "a statement runs" and "cancel it" cannot miss each other: a
// request is only made while the running bit is set, and whoever clears the bit sees in the same
// step whether there was one.
class CancelTarget {
 public:
  // `pooled`: the key is one of a pooler, which does not tell when a request has arrived.
  CancelTarget(std::shared_ptr<CancelBooks> books, CancelKey key, bool pooled) noexcept
      : books_(std::move(books)), key_(std::move(key)), pooled_(pooled) {}

  // The session's thread, around each statement.
  void begin_statement() noexcept { word_.fetch_or(kRunning); }
  // True when a request was made since the last settle(): look at trace().
  bool end_statement() noexcept { return (word_.fetch_and(~kRunning) & ~kRunning) != 0; }
  // Any thread.
  CancelTrace trace() const noexcept;
  // A request was sent, or will be.
  bool asked() const noexcept { return (word_.load() & ~kRunning) != 0; }
  // What was sent is over. Does nothing while a request is under way, or doubtful.
  void settle() noexcept;

  pg_cancel* key() const noexcept { return key_.get(); }
  bool pooled() const noexcept { return pooled_; }

 private:
  friend class Canceller;
  static constexpr std::uint32_t kRunning = 1;
  static constexpr std::uint32_t kQueued = 2;     // a request waits for its turn
  static constexpr std::uint32_t kSending = 4;    // a thread is at it
  static constexpr std::uint32_t kSent = 8;       // one was sent
  static constexpr std::uint32_t kDoubtful = 16;  // one that was sent may arrive at any time

  const std::shared_ptr<CancelBooks> books_;
  const CancelKey key_;
  const bool pooled_;
  // The default order is no cost here: two read-modify-writes per statement, by its own thread.
  std::atomic<std::uint32_t> word_{0};
  // The canceller's mutex.
  bool overdue_ = false;  // the request in flight was counted as stuck
};

// Up to kThreads requests at once, each by a blocking call on a thread of its own, so that one that
// hangs delays nobody; the rest waits, and so does what a group's rate does not allow yet.
class Canceller {
 public:
  static constexpr unsigned kThreads = 4;

  enum class Delivery : std::uint8_t {
    delivered,  // the server has taken it and closed the connection
    not_sent,   // the server was not reached: nothing can strike any more
    doubtful,
  };
  using Send = std::function<Delivery(const CancelTarget&)>;
  enum class Asked : std::uint8_t {
    accepted,
    idle,       // no statement is under way: there is nothing to cancel
    no_thread,  // the system gives none
  };

  // The process's: made by the first caller, gone with the last holder.
  static std::shared_ptr<Canceller> shared();

  explicit Canceller(Send send);
  // Ends the threads; one that hangs in a request is left to end by itself.
  ~Canceller();
  Canceller(const Canceller&) = delete;
  Canceller& operator=(const Canceller&) = delete;

  // Any thread. One request is enough: another one while it is on its way changes nothing.
  Asked request(const std::shared_ptr<CancelTarget>& target) noexcept;
  // Takes back a request that still waits for its turn.
  void withdraw(const CancelTarget& target) noexcept;
  // Waits until no request for it is on its way; false at the deadline: it counts as stuck.
  bool wait(CancelTarget& target, Deadline deadline) noexcept;
  // For a group, as CancelGroup says.
  void give_up(const CancelBooks& books) noexcept;
  std::vector<CancelGroup::Hanging> hanging(const CancelBooks& books, Deadline deadline);

 private:
  struct State;
  static void serve(const std::shared_ptr<State>& state, unsigned worker) noexcept;
  // Shared with the threads: one that hangs outlives the canceller.
  std::shared_ptr<State> state_;
};

// Sends one request by libpq and waits for the server's EOF. Blocks.
Canceller::Delivery send_cancel(const CancelTarget& target);

}  // namespace tidegate::pq
