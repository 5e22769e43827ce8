// Crowd: as many threads as a scenario wants, each of which does one thing once.
#pragma once

#include <pthread.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <thread>
#include <utility>

#include "support/actor.hpp"
#include "support/sanitizers.hpp"
#include "support/verdict.hpp"

namespace tidegate::stress {

// The stack of one of them: small, so that there is place for thousands.
inline constexpr std::size_t kCrowdStack = kSanitized ? 1 << 20 : 1 << 16;

// Actors with the indices 0 .. size()-1. The watchdog does not know them, but who calls get_on().
class Crowd {
 public:
  Crowd(std::uint64_t seed, std::function<void(Actor&)> play)
      : seed_(seed), play_(std::move(play)) {
    ::pthread_attr_init(&attributes_);
    ::pthread_attr_setstacksize(&attributes_, kCrowdStack);
  }
  ~Crowd() {
    for (const Member& member : members_) ::pthread_join(member.thread, nullptr);
    ::pthread_attr_destroy(&attributes_);
  }
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  // Starts the next one. The run ends when the system gives no more threads: fewer would prove
  // less than the scenario says.
  void add() {
    Member& member = members_.emplace_back(this, static_cast<std::uint32_t>(members_.size()));
    const auto start = [](void* argument) -> void* {
      const auto* me = static_cast<const Member*>(argument);
      Actor actor(me->index, Random::stream(me->crowd->seed_, me->index), false);
      me->crowd->play_(actor);
      return nullptr;
    };
    if (::pthread_create(&member.thread, &attributes_, start, &member) != 0) {
      fail_setup("there are no more than " + std::to_string(size() - 1) + " threads to be had");
    }
  }
  // Returns when `count()` is `wanted`. A hang is when it does not change for that long.
  template <class Count>
  static void get_on(Actor& self, const char* verb, std::uint32_t wanted, Count&& count) {
    for (std::uint32_t last = count(); last != wanted;) {
      const Actor::InCall call(self, verb);
      std::uint32_t now = last;
      while ((now = count()) == last) std::this_thread::yield();
      last = now;
    }
  }
  std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(members_.size()); }

 private:
  struct Member {
    Member(Crowd* its_crowd, std::uint32_t its_index) : crowd(its_crowd), index(its_index) {}
    Crowd* crowd;
    std::uint32_t index;
    pthread_t thread{};
  };
  const std::uint64_t seed_;
  const std::function<void(Actor&)> play_;
  pthread_attr_t attributes_{};
  std::deque<Member> members_{};
};

// How many threads of `wanted` the system gives, all at once, with stacks of that size (0: as
// usual). They are gone when this returns.
std::uint32_t threads_to_be_had(std::uint32_t wanted, std::size_t stack);

}  // namespace tidegate::stress
