// Wire: one direction of a proxied connection, with its faults.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "support/proxy.hpp"

namespace tidegate::stress {

// Takes what one socket has sent and gives it to another one when its time has come. Knows nothing
// of polling: the proxy's loop asks it what to wait for.
class Wire {
 public:
  using Clock = std::chrono::steady_clock;
  enum class State : std::uint8_t {
    open,
    ended,   // the end has been passed on
    broken,  // the receiver is gone; what comes is dropped
    cut,     // Faults::cut_after
  };

  // From here on these faults; the counts of bytes begin anew.
  void set(const Faults& faults) {
    faults_ = faults;
    passed_ = 0;
  }

  // May more be read from the sender now?
  bool wants_more() const noexcept { return !is_hole() && !end_taken_ && waiting_ < kMostWaiting; }
  // Reads from `sender` until nothing is there.
  // Returns: false when the sender has ended (`end_taken()`).
  bool take(int sender, Clock::time_point now);
  bool end_taken() const noexcept { return end_taken_; }
  // What the sender said before there was a receiver: the first bytes that wait.
  std::string first_bytes(std::size_t size) const;
  // The sender is gone, whatever it may have sent.
  void take_end(Clock::time_point now);

  // Gives to `receiver` what is due; the end by shutdown().
  State give(int receiver, Clock::time_point now);
  // Writes so far.
  std::uint64_t pieces() const noexcept { return pieces_; }
  // Does it wait for the receiver to read?
  bool is_blocked() const noexcept { return blocked_; }
  // When give() has something to do; nullopt: when somebody sends, or reads.
  std::optional<Clock::time_point> next_due() const;

 private:
  static constexpr std::size_t kMostWaiting = 1 << 20;

  struct Chunk {
    Clock::time_point due;
    std::string bytes;  // empty: the end
  };
  bool is_hole() const noexcept { return faults_.black_hole || passed_ >= faults_.hole_after; }
  std::size_t most_at_once(std::size_t wanted) const noexcept;

  Faults faults_{};
  std::deque<Chunk> chunks_{};
  std::size_t waiting_ = 0;  // bytes
  std::uint64_t passed_ = 0;
  std::uint64_t pieces_ = 0;
  Clock::time_point free_at_{};  // by bandwidth
  bool end_taken_ = false;
  bool end_given_ = false;
  bool blocked_ = false;
  bool broken_ = false;
};

}  // namespace tidegate::stress
