// ModelLane: a lane as the pool has it (lib/src/pool/lanes/lane.cpp, lane_lead.cpp), for one run of
// a scenario. The queue is the core's own; the leader's steps are the lane's, without a server.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include <models/relacy_sync.hpp>
#include <tidegate/core/lane_queue.hpp>

namespace tidegate::models {

class ModelLane {
 public:
  using Queue = core::LaneQueue<RelacySync>;
  using Place = Queue::Place;

  // What a caller does when its deadline passes.
  enum class Late : std::uint8_t { leaves, takes_back };

  // One statement; no other of the run has its number. An answer must be its own. Returns: whether
  // it was answered.
  bool ask(int number, Deadline deadline, Late late = Late::leaves) {
    const auto entered = queue_.enter(0);
    check(entered.has_value(), "I2: a place was not freed");
    const Place place = *entered;
    question_[place](RL_INFO).store(number);
    if (queue_.push(place)) return lead(place, number);
    for (;;) {
      Queue::Told told = queue_.wait(place, deadline);
      if (told == Queue::nothing && late == Late::takes_back) told = queue_.take_back(place);
      if (told == Queue::nothing && late == Late::leaves) {
        told = queue_.give_up(place);
        if (told == Queue::nothing) told = Queue::gone;
      }
      switch (told) {
        case Queue::nothing: deadline = Deadline::never(); break;  // it was sent
        case Queue::answered: return take(place, number);
        case Queue::leads: return lead(place, number);
        case Queue::withdrawn: return not_sent(number);
        case Queue::gone: {
          const Queue::Left left = queue_.leave(place);
          if (left == Queue::Left::answered) return take(place, number);
          return left == Queue::Left::unsent && not_sent(number);
        }
      }
    }
  }
  // From here on each statement is struck once, and run again.
  void strike() { strikes_ = true; }

  // With every thread at its end.
  void finish() {
    for (std::size_t number = 0; number < kNumbers; ++number) {
      check(!(sent_numbers_[number] && unsent_numbers_[number]),
            "I9: a statement was sent, and its owner was told that it was not");
    }
    check(unsent_.size == 0 && sent_.size == 0, "I8: a statement is left over");
    bool first = true;
    for (Place i = 0; i < kPlaces; ++i) {
      const auto place = queue_.enter(0);
      check(place.has_value(), "I5: a place was not freed");
      if (first) check(queue_.push(*place), "I3: nobody is on the lane, and somebody leads it");
      first = false;
    }
  }

 private:
  static constexpr Place kPlaces = 8;
  static constexpr std::size_t kNumbers = 8;

  struct Line {
    std::array<Place, 2 * kPlaces> places{};
    std::uint32_t size = 0;
    void push(Place place) { places[size++] = place; }
    Place pop() {
      const Place oldest = places[0];
      for (std::uint32_t i = 1; i < size; ++i) places[i - 1] = places[i];
      --size;
      return oldest;
    }
  };

  bool lead(Place own, int number) {
    bool over = false;
    for (;;) {
      use_session();
      if (sent_.size == 0) {
        collect();
        if (over && unsent_.size == 0) break;
        while (unsent_.size > 0) {
          const Place place = unsent_.pop();
          if (!queue_.claim(place)) continue;
          sent_numbers_[static_cast<std::size_t>(question_[place](RL_INFO).load())] = true;
          sent_.push(place);
        }
        if (over) break;
      }
      while (sent_.size > 0) over = settle(sent_.pop(), own) || over;
    }
    hand_on();
    return take(own, number);
  }
  void collect() {
    queue_.take([this](Place place) { unsent_.push(place); });
  }
  // True: it was the leader's own.
  bool settle(Place place, Place own) {
    const int number = question_[place](RL_INFO).load();
    if (strikes_ && !struck_[place]) {
      struck_[place] = true;
      sent_numbers_[static_cast<std::size_t>(number)] = false;  // the server has undone it
      if (queue_.send_again(place)) unsent_.push(place);
      return false;
    }
    struck_[place] = false;
    answer_[place](RL_INFO).store(-number);
    if (place == own) return true;
    if (const auto sleeper = queue_.answer(place)) Queue::wake(sleeper);
    return false;
  }
  void hand_on() {
    for (;;) {
      collect();
      for (const Line* line : {&sent_, &unsent_}) {
        for (std::uint32_t i = 0; i < line->size; ++i) {
          if (!queue_.is_gone(line->places[i]) && queue_.pass_to(line->places[i])) return;
        }
      }
      while (sent_.size > 0) settle(sent_.pop(), kPlaces);
      if (unsent_.size > 0) {
        const Place place = unsent_.pop();
        if (queue_.claim(place)) settle(place, kPlaces);
        continue;
      }
      use_session();
      if (queue_.rest()) return;
    }
  }
  bool take(Place place, int number) {
    check(answer_[place](RL_INFO).load() == -number, "a statement has the answer of another");
    queue_.free(place);
    return true;
  }
  bool not_sent(int number) {
    unsent_numbers_[static_cast<std::size_t>(number)] = true;
    return false;
  }
  // The connection is the leader's alone.
  void use_session() { session_(RL_INFO).store(1); }

  Queue queue_{kPlaces};
  rl::var<int> session_;
  std::array<rl::var<int>, kPlaces> question_;
  std::array<rl::var<int>, kPlaces> answer_;
  Line unsent_{};
  Line sent_{};
  std::array<bool, kPlaces> struck_{};
  bool strikes_ = false;
  std::array<bool, kNumbers> sent_numbers_{};
  std::array<bool, kNumbers> unsent_numbers_{};
};

}  // namespace tidegate::models
