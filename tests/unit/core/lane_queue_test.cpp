// The queue of a lane, step by step: who leads, who is told what, and who frees a place. What
// happens when steps of several threads mix, the models search (stress/models/model_lane.hpp).
#include <tidegate/core/lane_queue.hpp>

#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace tidegate::core {
namespace {

using Queue = LaneQueue<>;
using Place = Queue::Place;

constexpr Deadline kPassed = Deadline::now();

std::vector<Place> taken(Queue& queue) {
  std::vector<Place> places;
  queue.take([&](Place place) { places.push_back(place); });
  return places;
}
void answer(Queue& queue, Place place) {
  if (const auto sleeper = queue.answer(place)) Queue::wake(sleeper);
}

// A queue with one place, which is pushed; its owner leads, if anybody does.
struct Pushed {
  Pushed() { queue.push(place); }
  Queue queue{1};
  const Place place = *queue.enter(0);
};
// The same place, claimed by the leader.
struct Sent : Pushed {
  Sent() {
    taken(queue);
    EXPECT_TRUE(queue.claim(place));
  }
};

TEST(LaneQueue, ThereAreAsManyPlacesAsThereAre) {
  for (const std::uint32_t places : {1U, 3U, 64U, 65U, 128U}) {
    Queue queue(places);
    std::set<Place> all;
    for (std::uint32_t i = 0; i < places; ++i) all.insert(queue.enter(i).value());
    EXPECT_EQ(all.size(), places);
    EXPECT_EQ(*all.rbegin(), places - 1);
    EXPECT_EQ(queue.taken(), places);
    EXPECT_FALSE(queue.enter(0).has_value());
    queue.free(places / 2);
    EXPECT_EQ(queue.taken(), places - 1);
    EXPECT_EQ(queue.enter(7), places / 2);
  }
}

TEST(LaneQueue, TheFirstToPushLeadsAndTheOrderStays) {
  Queue queue(4);
  std::vector<Place> pushed;
  for (int i = 0; i < 4; ++i) {
    pushed.push_back(*queue.enter(0));
    EXPECT_EQ(queue.push(pushed.back()), i == 0);
  }
  EXPECT_EQ(taken(queue), pushed);
  EXPECT_TRUE(taken(queue).empty());
}

TEST(LaneQueue, NobodyRestsWhileSomebodyWaits) {
  Queue queue(4);
  const Place first = *queue.enter(0);
  const Place second = *queue.enter(0);
  EXPECT_TRUE(queue.push(first));
  taken(queue);
  EXPECT_FALSE(queue.push(second));
  EXPECT_FALSE(queue.rest());
  EXPECT_EQ(taken(queue), std::vector{second});
  EXPECT_TRUE(queue.rest());
  const Place third = *queue.enter(0);
  EXPECT_TRUE(queue.push(third)) << "nobody leads";
}

TEST(LaneQueue, AnAnswerEndsTheWait) {
  Queue queue(2);
  const Place leader = *queue.enter(0);
  const Place follower = *queue.enter(0);
  queue.push(leader);
  queue.push(follower);
  std::jthread owner([&] {
    EXPECT_EQ(queue.wait(follower, Deadline::never()), Queue::answered);
    queue.free(follower);
  });
  taken(queue);
  EXPECT_TRUE(queue.claim(follower));
  EXPECT_TRUE(queue.is_sent(follower));
  answer(queue, follower);
  owner.join();
  EXPECT_EQ(queue.taken(), 1u);
}

TEST(LaneQueue, TheLeadIsPassedOn) {
  Queue queue(2);
  const Place leader = *queue.enter(0);
  const Place follower = *queue.enter(0);
  queue.push(leader);
  queue.push(follower);
  std::jthread next([&] { EXPECT_EQ(queue.wait(follower, Deadline::never()), Queue::leads); });
  taken(queue);
  EXPECT_TRUE(queue.pass_to(follower));
  next.join();
  EXPECT_FALSE(queue.pass_to(follower)) << "it has been told something else";
}

// One row for each way in which an owner leaves: who comes first, what the owner is told, and that
// the place is free in the end.
TEST(LaneQueue, WhoeverLeavesIsToldWhetherItWasSent) {
  {  // Nothing was done yet: the leader frees.
    Pushed pushed;
    auto& [queue, place] = pushed;
    EXPECT_EQ(queue.give_up(place), Queue::nothing);
    EXPECT_EQ(queue.leave(place), Queue::Left::unsent);
    EXPECT_TRUE(queue.is_gone(place));
    EXPECT_EQ(taken(queue), std::vector{place});
    EXPECT_FALSE(queue.pass_to(place));
    EXPECT_FALSE(queue.claim(place));
    EXPECT_EQ(queue.taken(), 0u);
  }
  {  // It was sent: the leader frees when it has the answer.
    Sent sent;
    auto& [queue, place] = static_cast<Pushed&>(sent);
    EXPECT_EQ(queue.give_up(place), Queue::nothing);
    EXPECT_EQ(queue.leave(place), Queue::Left::sent);
    EXPECT_EQ(queue.taken(), 1u);
    answer(queue, place);
    EXPECT_EQ(queue.taken(), 0u);
  }
  {  // The answer comes between the two steps of leaving: the owner takes it, and frees.
    Sent sent;
    auto& [queue, place] = static_cast<Pushed&>(sent);
    EXPECT_EQ(queue.give_up(place), Queue::nothing);
    answer(queue, place);
    EXPECT_EQ(queue.taken(), 1u);
    EXPECT_EQ(queue.leave(place), Queue::Left::answered);
    queue.free(place);
  }
  {  // The answer came first.
    Sent sent;
    auto& [queue, place] = static_cast<Pushed&>(sent);
    answer(queue, place);
    EXPECT_EQ(queue.give_up(place), Queue::answered);
  }
  {  // The lead came first.
    Pushed pushed;
    auto& [queue, place] = pushed;
    taken(queue);
    EXPECT_TRUE(queue.pass_to(place));
    EXPECT_EQ(queue.give_up(place), Queue::leads);
  }
  {  // A stop.
    Pushed pushed;
    Queue& queue = pushed.queue;
    const Place place = pushed.place;
    std::jthread owner([&] {
      EXPECT_EQ(queue.wait(place, Deadline::never()), Queue::gone);
      EXPECT_EQ(queue.leave(place), Queue::Left::unsent);
    });
    queue.stop(place);
    owner.join();
    taken(queue);
    EXPECT_FALSE(queue.claim(place));
    EXPECT_EQ(queue.taken(), 0u);
  }
}

TEST(LaneQueue, OnlyWhatWasNotSentIsTakenBack) {
  {
    Pushed pushed;
    auto& [queue, place] = pushed;
    EXPECT_EQ(queue.take_back(place), Queue::withdrawn);
    taken(queue);
    EXPECT_FALSE(queue.claim(place));
    EXPECT_EQ(queue.taken(), 0u);
  }
  {
    Sent sent;
    auto& [queue, place] = static_cast<Pushed&>(sent);
    EXPECT_EQ(queue.take_back(place), Queue::nothing);
    EXPECT_EQ(queue.wait(place, kPassed), Queue::nothing) << "it still waits";
    answer(queue, place);
    EXPECT_EQ(queue.wait(place, kPassed), Queue::answered);
  }
  {  // The lead is not taken back with it.
    Pushed pushed;
    auto& [queue, place] = pushed;
    taken(queue);
    EXPECT_TRUE(queue.pass_to(place));
    EXPECT_EQ(queue.take_back(place), Queue::leads);
    EXPECT_TRUE(queue.claim(place)) << "its statement is still to be sent";
  }
}

TEST(LaneQueue, WhatIsSentAgainWaitsAgain) {
  Queue queue(2);
  const Place stays = *queue.enter(0);
  const Place leaves = *queue.enter(0);
  queue.push(stays);
  queue.push(leaves);
  taken(queue);
  EXPECT_TRUE(queue.claim(stays));
  EXPECT_TRUE(queue.claim(leaves));
  EXPECT_TRUE(queue.send_again(stays));
  EXPECT_FALSE(queue.is_sent(stays));
  EXPECT_TRUE(queue.claim(stays));
  queue.give_up(leaves);
  EXPECT_EQ(queue.leave(leaves), Queue::Left::sent);
  EXPECT_FALSE(queue.send_again(leaves));
  EXPECT_EQ(queue.taken(), 1u);
}

}  // namespace
}  // namespace tidegate::core
