// Crowd: as many threads as a scenario wants, each of which does one thing once.
#pragma once

#include <pthread.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <utility>

#include "support/actor.hpp"
#include "support/sanitizers.hpp"

namespace tidegate::stress {

// Actors with the indices 0 .. size()-1, on small stacks, so that there is place for thousands.
class Crowd {
 public:
  Crowd(std::uint64_t seed, std::function<void(Actor&)> play)
      : seed_(seed), play_(std::move(play)) {
    ::pthread_attr_init(&attributes_);
    ::pthread_attr_setstacksize(&attributes_, kSanitized ? 1 << 20 : 1 << 16);
  }
  ~Crowd() {
    for (const Member& member : members_) ::pthread_join(member.thread, nullptr);
    ::pthread_attr_destroy(&attributes_);
  }
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  // Starts the next one; false when the system gives no more threads.
  bool add() {
    Member& member = members_.emplace_back(this, static_cast<std::uint32_t>(members_.size()));
    const auto start = [](void* argument) -> void* {
      const auto* me = static_cast<const Member*>(argument);
      Actor actor(me->index, Random::stream(me->crowd->seed_, me->index));
      me->crowd->play_(actor);
      return nullptr;
    };
    if (::pthread_create(&member.thread, &attributes_, start, &member) == 0) return true;
    members_.pop_back();
    return false;
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

}  // namespace tidegate::stress
