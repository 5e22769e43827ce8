// Actor: one thread of a stress program, and the call it is in.
#pragma once

#include <atomic>
#include <cstdint>

#include "support/random.hpp"

namespace tidegate::stress {

// Where a thread stops, once, until somebody lets it go on: the name of a test point.
struct Freeze {
  explicit Freeze(const char* test_point) : at(test_point) {}
  const char* const at;
  std::atomic<bool> reached{false};
  std::atomic<bool> over{false};
};

// Known to the watchdog from construction to destruction, which both happen on its thread.
class Actor {
 public:
  // `index` is its line in the ledger's books. `is_watched`: false for one of thousands, that may
  // wait for all the others; somebody else says then that they get on.
  Actor(std::uint32_t index, Random random, bool is_watched = true);
  ~Actor();
  Actor(const Actor&) = delete;
  Actor& operator=(const Actor&) = delete;

  // The calling thread's actor, or null (the pool's own threads).
  static Actor* current() noexcept { return current_; }

  const std::uint32_t index;
  Random random;

  // I4, for the test points: whether this acquire went to settle after the fence stood, and the
  // flag that this closer raises when it stands. Own thread only.
  const std::atomic<bool>* fence = nullptr;
  bool settled_after_fence = false;
  std::atomic<bool>* raises = nullptr;
  Freeze* freeze = nullptr;

  // The verb the actor is in, for the watchdog. Relaxed: it only has to change now and then.
  class InCall {
   public:
    InCall(Actor& actor, const char* verb) noexcept : actor_(actor), outer_(actor.verb()) {
      actor_.enter(verb);
    }
    ~InCall() { actor_.enter(outer_); }
    InCall(const InCall&) = delete;
    InCall& operator=(const InCall&) = delete;

   private:
    Actor& actor_;
    const char* outer_;
  };
  // null: in no call.
  const char* verb() const noexcept { return verb_.load(std::memory_order_relaxed); }
  std::uint64_t calls() const noexcept { return calls_.load(std::memory_order_relaxed); }
  std::int32_t thread_id() const noexcept { return thread_id_; }

 private:
  void enter(const char* verb) noexcept {
    calls_.store(calls() + 1, std::memory_order_relaxed);
    verb_.store(verb, std::memory_order_relaxed);
  }

  static thread_local constinit Actor* current_;

  const std::int32_t thread_id_;
  const bool is_watched_;
  std::atomic<const char*> verb_{nullptr};
  std::atomic<std::uint64_t> calls_{0};
};

}  // namespace tidegate::stress
