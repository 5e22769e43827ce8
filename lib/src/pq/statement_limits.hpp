// StatementLimits: what ends a statement before its answer has come, and how far that has got.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>

#include <tidegate/base/deadline.hpp>
#include <tidegate/pq/exec_options.hpp>
#include <tidegate/pq/file_descriptor.hpp>

#include "base/fiber.hpp"
#include "pq/stop_bell.hpp"

namespace tidegate::pq {

enum class Limit : std::uint8_t { none, deadline, stop };

// A statement has the deadline and the stop of its ExecOptions, and those of bound(). The first
// limit that is reached strikes: the server is asked to cancel, again and again, and its answer is
// awaited for drain_bound at most; then the statement is given up. This class knows times and a
// bell only; Session decides what each step means for the connection (limits.cpp).
class StatementLimits {
 public:
  // How long an answer to a cancel is awaited; some days at most.
  void set_drain_bound(std::chrono::milliseconds bound) noexcept;
  std::chrono::milliseconds drain_bound() const noexcept { return drain_bound_; }
  // From here on every statement ends at `by` or `stop` at the latest.
  void bound(Deadline by, std::stop_token stop) noexcept;
  Deadline bound_by() const noexcept { return bound_by_; }

  // ---- the statement under way ---------------------------------------------------------------

  // A statement begins; `options` stay the same until disarm(). False: there is no eventfd (errno)
  // that would show its stop. Throws: std::bad_alloc.
  bool arm(const ExecOptions& options);
  void disarm(const ExecOptions& options) noexcept;
  Deadline by() const noexcept { return by_; }
  bool any() const noexcept { return !by_.is_never() || bell() != -1; }
  // The limit that has been reached by now, whether it has struck or not.
  Limit reached(const ExecOptions& options) const noexcept;

  // Readable as soon as a stop is requested; negative: the statement has no stop, but on a fiber it
  // may be interrupted all the same (base/fiber.hpp).
  int bell() const noexcept {
    return stops_ != nullptr && stops_->any() ? bell_.get() : detail::Fiber::interrupt_only();
  }
  // The same descriptor, for another stop than the statement's; -1: there is none.
  int open_bell() noexcept;
  void silence_bell() noexcept;

  // ---- once one has struck -------------------------------------------------------------------

  Limit struck() const noexcept { return struck_; }
  bool has_struck() const noexcept { return struck_ != Limit::none; }
  void strike(Limit why) noexcept;
  // No answer has come within drain_bound, or none will.
  bool is_answer_overdue() const noexcept { return drained_by_.passed(); }
  bool given_up() const noexcept { return given_up_; }
  void give_up() noexcept;

  // A request that overtakes its statement finds the server idle and is forgotten. So the server is
  // asked to cancel now, again after kAskAgain, and then each time after twice as long.
  static constexpr std::chrono::milliseconds kAskAgain{50};
  void begin_asking() noexcept { ask_again_after_ = to_kept(kAskAgain); }
  // The server is not asked now, but after `wait`.
  void ask_in(std::chrono::milliseconds wait) noexcept;
  void asked() noexcept;
  bool is_time_to_ask() const noexcept { return ask_again_.passed(); }
  // The time between the last request and the next.
  std::chrono::milliseconds asks_after() const noexcept { return ask_again_after_; }

  // What to wait for, and with which bell: a limit, or once one has struck, the next step.
  Deadline wait_until() const noexcept {
    return has_struck() ? earlier(drained_by_, ask_again_) : by_;
  }
  int watched_bell() const noexcept { return has_struck() ? -1 : bell(); }

  // ---- while another thread sends (large_send.cpp) -------------------------------------------

  // A duplicate of the socket that the other thread sends on; -1: no thread sends. Throws:
  // std::bad_alloc, unless this was called before.
  void send_on(int socket);
  int sending() const noexcept { return stops_ != nullptr ? stops_->sending : -1; }

  // For a ForkHook: neither the bell nor that socket is shared with the parent any more.
  void cut_off_in_child() noexcept;

 private:
  // 32 bits, because E7 counts them.
  using Kept = std::chrono::duration<std::int32_t, std::milli>;
  static Kept to_kept(std::chrono::milliseconds wait) noexcept;

  // Made for the first statement that has a stop, or that is large and has a deadline. The
  // callbacks that ring the bell go before the bell does.
  struct Stops {
    StopBell statement{};
    StopBell standing{};
    int sending = -1;
    bool any() const noexcept { return statement || standing; }
  };

  Deadline bound_by_{};
  std::stop_token bound_stop_{};
  Deadline by_{};
  Deadline drained_by_{};
  Deadline ask_again_{};
  Kept ask_again_after_{};
  Kept drain_bound_{};
  FileDescriptor bell_{};  // an eventfd, made when the first stop_token comes
  Limit struck_ = Limit::none;
  bool given_up_ = false;
  std::unique_ptr<Stops> stops_{};
};

}  // namespace tidegate::pq
