// Team: threads that do one thing round after round, together.
#pragma once

#include <barrier>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "support/actor.hpp"
#include "support/verdict.hpp"

namespace tidegate::stress {

// `size` actors with the indices 0 .. size-1. Every round() has each of them call `play` once and
// returns when all have: then nobody is in a verb, and what somebody still waits for never comes.
class Team {
 public:
  Team(std::uint32_t size, std::uint64_t seed, std::function<void(Actor&)> play)
      : play_(std::move(play)), turn_(static_cast<std::ptrdiff_t>(size) + 1) {
    for (std::uint32_t i = 0; i < size; ++i) {
      threads_.emplace_back([this, i, seed] {
        Actor actor(i, Random::stream(seed, i));
        for (;;) {
          turn_.arrive_and_wait();
          if (over_) return;
          or_fail([&] { play_(actor); });
          turn_.arrive_and_wait();
        }
      });
    }
  }
  ~Team() {
    over_ = true;
    turn_.arrive_and_wait();
    for (std::thread& thread : threads_) thread.join();
  }
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  void round() {
    round([] {});
  }
  // `meanwhile` runs on the calling thread. An exception out of it or an actor ends the process.
  template <class F>
  void round(F&& meanwhile) {
    turn_.arrive_and_wait();
    or_fail(meanwhile);
    turn_.arrive_and_wait();
  }

 private:
  const std::function<void(Actor&)> play_;
  std::barrier<> turn_;
  bool over_ = false;  // written between two turns
  std::vector<std::thread> threads_;
};

}  // namespace tidegate::stress
