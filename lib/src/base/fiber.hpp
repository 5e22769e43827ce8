// Fiber: a call on a stack of its own, which stops where it would wait, and goes on later.
//
// The verbs wait in one place, wait_for(). On a fiber that call hands what it waits for to whoever
// runs the fiber, an event loop, and returns when the loop says what has come. So the blocking
// verbs and those of coroutines are the same code (docs/decisions.md, "A verb of a coroutine runs
// on a stack of its own").
#pragma once

#include <cstddef>
#include <cstdint>

#include <tidegate/base/deadline.hpp>

#include "base/wait.hpp"

namespace tidegate::detail {

// A wake_fd that is no descriptor: the wait may be interrupted, if it is one of a fiber.
inline constexpr int kInterruptOnly = -2;

// What a fiber waits for, as wait_for() was asked.
struct FiberWait {
  int fd = -1;  // -1: for time and the wake only
  short events = 0;
  int wake_fd = -1;
  Deadline until{};
};

// One thread at a time; another one may resume the fiber than did before. So nothing that runs on a
// fiber may keep the address of a thread_local variable, or the thread's id, across a wait: a
// compiler takes the thread of one function for the same from end to end. Every member but
// current() and await() is for whoever runs the fiber.
class Fiber {
 public:
  // Needs: `body` throws nothing. Throws: std::bad_alloc.
  using Body = void (*)(void* context) noexcept;
  Fiber(Body body, void* context);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  // Needs: the body has not begun, or has returned.
  ~Fiber();

  // Begins the body, or goes on with it where it waits: the wait returns `waited`, and `seen` of
  // its descriptor. Returns: the body has stopped in wait(); false: it has returned.
  bool resume(Waited waited = Waited::timed_out, short seen = 0) noexcept;
  const FiberWait& wait() const noexcept { return wait_; }
  bool waits() const noexcept { return state_ == State::waits; }
  bool returned() const noexcept { return state_ == State::returned; }
  // From here on each wait with a wake_fd returns `woken` at once, kInterruptOnly included, and
  // interrupted_here() is true for the body. Returns whether the fiber is in such a wait now, to be
  // resumed so.
  bool interrupt() noexcept {
    interrupted_ = true;
    return state_ == State::waits && wait_.wake_fd != -1;
  }
  // From here on waits are not handed out: they block the thread that calls resume().
  void block() noexcept { blocks_ = true; }

  // The calling thread is on a fiber that was interrupted.
  static bool interrupted_here() noexcept;
  // The same as a wake_fd for a wait that has none: a fiber's may be interrupted.
  static int interrupt_only() noexcept { return current() != nullptr ? kInterruptOnly : -1; }

  // The fiber that the calling thread runs and whose waits are handed out; null: none.
  static Fiber* current() noexcept;
  // On the fiber: hands `wait` out, and returns when somebody has resumed it.
  Waited await(const FiberWait& wait, short& seen) noexcept;

 private:
  enum class State : std::uint8_t { fresh, runs, waits, returned };
  // The exceptions that a stack is handling, which the C++ runtime keeps by thread.
  struct Handled {
    void* caught = nullptr;
    unsigned int uncaught = 0;
    void swap() noexcept;
  };

  static void enter(void* fiber) noexcept;
  void leave() noexcept;

  Body body_;
  void* context_;
  void* stack_;            // the mapping, its lowest page a guard
  void* own_ = nullptr;    // where the fiber's stack stands while it is not run
  void* outer_ = nullptr;  // and the runner's while it is
  Fiber* outside_ = nullptr;
  FiberWait wait_{};
  Handled handled_{};
  Waited waited_{};
  short seen_ = 0;
  State state_ = State::fresh;
  bool interrupted_ = false;
  bool blocks_ = false;
  // For the sanitizers, which keep books by stack.
  [[maybe_unused]] void* sanitizer_ = nullptr;
  [[maybe_unused]] void* outer_sanitizer_ = nullptr;
  [[maybe_unused]] const void* outer_bottom_ = nullptr;
  [[maybe_unused]] std::size_t outer_size_ = 0;
};

}  // namespace tidegate::detail
