#include <tidegate/core/policy.hpp>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace tidegate::core::policy {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

constexpr std::uint32_t kMost = std::numeric_limits<std::uint32_t>::max();

// Pure functions indeed: the compiler can run them, and it refuses undefined behaviour.
static_assert(gate_count(2, 4) == 2);
static_assert(gate_count(kMost, kMost) == 64);
static_assert(to_open({.waiting = kMost, .empty = kMost, .max_opening = kMost}) == kMost);
static_assert(!grants_window({}));
static_assert(backoff(kMost, nanoseconds::max(), nanoseconds::max(), 0.5) > 0ns);
static_assert(to_reap({}) == 0);
static_assert(floor_size(0, kMost, kMost, 65535) == 65535);

TEST(GateCount, IsAPowerOfTwoPerCoreAsFarAsTheSlotsGoRound) {
  struct Row {
    std::uint32_t cores, max_size, gates;
  };
  for (const Row& r : std::vector<Row>{{0, 0, 1},
                                       {0, 4, 1},
                                       {1, 1, 1},
                                       {1, 65535, 1},
                                       {2, 1, 1},
                                       {2, 2, 2},
                                       {2, 65535, 2},
                                       {3, 4, 4},
                                       {3, 65535, 4},
                                       {4, 3, 2},
                                       {4, 7, 4},
                                       {4, 8, 4},
                                       {8, 5, 4},
                                       {63, 100, 64},
                                       {64, 64, 64},
                                       {64, 63, 32},
                                       {65, 65535, 64},
                                       {4096, 65535, 64},
                                       {kMost, 1, 1}}) {
    EXPECT_EQ(gate_count(r.cores, r.max_size), r.gates) << r.cores << " cores, " << r.max_size;
  }
}

TEST(ToOpen, FollowsDemandFloorRoomAndEmptySlots) {
  struct Row {
    const char* why;
    Growth growth;
    std::uint32_t open;
  };
  for (const Row& r : std::vector<Row>{
           {"nobody asks", {.empty = 4, .max_opening = 4}, 0},
           {"one waiter, one opening", {.waiting = 1, .empty = 4, .max_opening = 4}, 1},
           {"one per waiter", {.waiting = 3, .empty = 4, .max_opening = 4}, 3},
           {"one is on its way", {.waiting = 1, .opening = 1, .empty = 3, .max_opening = 4}, 0},
           {"for those that none is on its way for",
            {.waiting = 3, .opening = 2, .empty = 2, .max_opening = 4},
            1},
           {"more on their way than waiters",
            {.waiting = 1, .opening = 3, .empty = 2, .max_opening = 4},
            0},
           {"one is about to come back",
            {.waiting = 1, .open = 1, .empty = 3, .max_opening = 4, .coming_back = 1},
            0},
           {"one comes back, one is on its way, and a third waits",
            {.waiting = 3, .open = 1, .opening = 1, .empty = 2, .max_opening = 4, .coming_back = 1},
            1},
           {"what comes back is there already, for the floor",
            {.waiting = 1, .floor = 3, .open = 1, .empty = 3, .max_opening = 4, .coming_back = 1},
            2},
           {"more than can be counted are expected",
            {.waiting = kMost,
             .opening = kMost,
             .empty = 4,
             .max_opening = kMost,
             .coming_back = 1},
            0},
           {"no more than are empty", {.waiting = 9, .empty = 2, .max_opening = 4}, 2},
           {"none is empty", {.waiting = 9, .max_opening = 4}, 0},
           {"no more than may open at once", {.waiting = 9, .empty = 9, .max_opening = 4}, 4},
           {"all turns are taken", {.waiting = 9, .opening = 4, .empty = 9, .max_opening = 4}, 0},
           {"more than all turns are taken",
            {.waiting = 9, .opening = 5, .empty = 9, .max_opening = 4},
            0},
           {"the floor", {.floor = 3, .empty = 4, .max_opening = 4}, 3},
           {"what the floor lacks", {.floor = 3, .open = 2, .empty = 4, .max_opening = 4}, 1},
           {"what is on its way counts",
            {.floor = 3, .open = 1, .opening = 1, .empty = 4, .max_opening = 4},
            1},
           {"the floor is reached", {.floor = 3, .open = 3, .empty = 4, .max_opening = 4}, 0},
           {"above the floor", {.floor = 3, .open = 5, .empty = 4, .max_opening = 4}, 0},
           {"waiters and floor: whichever is more, floor",
            {.waiting = 1, .floor = 3, .empty = 4, .max_opening = 4},
            3},
           {"waiters and floor: whichever is more, waiters",
            {.waiting = 3, .floor = 1, .empty = 4, .max_opening = 4},
            3},
           {"nothing may open", {.waiting = 3, .floor = 3, .empty = 4, .max_opening = 0}, 0},
           {"everything at its most",
            {.waiting = kMost, .floor = kMost, .empty = kMost, .max_opening = kMost},
            kMost},
       }) {
    EXPECT_EQ(to_open(r.growth), r.open) << r.why;
  }
}

// Over a sweep: never more than asked for, than there is room for, or than slots are empty.
TEST(ToOpen, NeverExceedsAnyOfItsBounds) {
  for (std::uint32_t waiting = 0; waiting < 5; ++waiting) {
    for (std::uint32_t open = 0; open < 5; ++open) {
      for (std::uint32_t opening = 0; opening < 5; ++opening) {
        for (std::uint32_t empty = 0; empty < 5; ++empty) {
          for (std::uint32_t floor = 0; floor < 5; ++floor) {
            const Growth g{waiting, floor, open, opening, empty, 3};
            const std::uint32_t n = to_open(g);
            EXPECT_LE(n, empty);
            EXPECT_LE(opening + n, std::max(opening, 3U));
            EXPECT_LE(n, std::max(waiting, floor));
            // I3: with a waiter, an empty slot and a turn to spare something is on its way.
            if (waiting > 0 && empty > 0) {
              EXPECT_GT(opening + n, 0u);
            }
          }
        }
      }
    }
  }
}

TEST(GrantsWindow, UnlessItCouldOnlyCost) {
  struct Row {
    const char* why;
    Window window;
    bool granted;
  };
  for (const Row& r : std::vector<Row>{
           {"strict FIFO", {.window = 0ns}, false},
           {"negative", {.window = -1ns}, false},
           {"nobody else waits", {.window = 50us}, true},
           {"the smallest", {.window = 1ns}, true},
           {"a resource is on its way", {.window = 50us, .growing = true}, false},
           {"others wait, none insists", {.window = 50us, .oldest_wait = 1s}, true},
           {"one insists, but not for long",
            {.window = 50us, .somebody_strict = true, .oldest_wait = 200us - 1ns},
            true},
           {"one has insisted for long: holds are long",
            {.window = 50us, .somebody_strict = true, .oldest_wait = 200us},
            false},
       }) {
    EXPECT_EQ(grants_window(r.window), r.granted) << r.why;
  }
}

TEST(GrantsWindow, DoesNotOverflowWithAnEndlessWindow) {
  EXPECT_TRUE(grants_window({.window = nanoseconds::max(), .somebody_strict = true}));
  EXPECT_TRUE(grants_window(
      {.window = nanoseconds::max(), .somebody_strict = true, .oldest_wait = nanoseconds::max()}));
}

TEST(Backoff, NoFailureMeansNoWait) {
  EXPECT_EQ(backoff(0, 100ms, 10s, 0.0), 0ns);
  EXPECT_EQ(backoff(0, 100ms, 10s, 0.999), 0ns);
}

TEST(Backoff, TheCeilingDoublesUpToItsMost) {
  struct Row {
    std::uint32_t failures;
    nanoseconds ceiling;
  };
  // A draw just below one shows the ceiling.
  const double almost_one = 1.0 - std::numeric_limits<double>::epsilon();
  for (const Row& r : std::vector<Row>{{1, 100ms},
                                       {2, 200ms},
                                       {3, 400ms},
                                       {7, 6400ms},
                                       {8, 10s},
                                       {9, 10s},
                                       {64, 10s},
                                       {1'000'000, 10s},
                                       {kMost, 10s}}) {
    const nanoseconds step = backoff(r.failures, 100ms, 10s, almost_one);
    EXPECT_LE(step, r.ceiling) << r.failures;
    EXPECT_GT(step, r.ceiling - 10us) << r.failures;
  }
}

// What was away is missed until the step is over that began while it was: an Odyssey away for 5 s
// once for up to 11 s more, its logins included. The rows are those of docs/guarantees.md.
TEST(Backoff, AnOutageIsMissedForOneStepAtMost) {
  struct Row {
    nanoseconds outage, mean, p99;  // beyond its end
  };
  constexpr std::size_t kOutages = 20'000;
  std::minstd_rand random(1);
  std::uniform_real_distribution<double> draw;
  for (const Row& r : std::vector<Row>{
           {100ms, 70ms, 180ms}, {1s, 690ms, 3s}, {5s, 2900ms, 9s}, {60s, 3300ms, 9s}}) {
    std::vector<nanoseconds> missed(kOutages);
    for (nanoseconds& each : missed) {
      nanoseconds now{};
      for (std::uint32_t failures = 1; now < r.outage; ++failures) {
        now += backoff(failures, 100ms, 10s, draw(random));
      }
      each = now - r.outage;
      ASSERT_LE(each, 10s);
    }
    std::sort(missed.begin(), missed.end());
    const nanoseconds mean = std::accumulate(missed.begin(), missed.end(), 0ns) / kOutages;
    const auto near = [](nanoseconds seen, nanoseconds said) {
      return seen > said * 9 / 10 && seen < said * 11 / 10;
    };
    EXPECT_TRUE(near(mean, r.mean)) << r.outage / 1ms << " ms: " << mean / 1ms;
    EXPECT_TRUE(near(missed[kOutages * 99 / 100], r.p99)) << r.outage / 1ms << " ms";
  }
}

TEST(Backoff, StaysWithinItsBoundsWhateverTheDraw) {
  const double draws[] = {0.0, 1e-9, 0.25, 0.5, 0.75, 1.0 - std::numeric_limits<double>::epsilon()};
  for (const nanoseconds min : {1ns, 2ns, nanoseconds(1us), nanoseconds(100ms), nanoseconds(1h)}) {
    for (const nanoseconds max : {min, min * 3, nanoseconds(min + 10s), nanoseconds::max()}) {
      for (const std::uint32_t failures : {1U, 2U, 3U, 10U, 62U, 63U, 64U, 65U, 1000U, kMost}) {
        nanoseconds before{};
        for (const double draw : draws) {
          const nanoseconds step = backoff(failures, min, max, draw);
          EXPECT_GE(step, min / 2) << "not a hot loop";
          EXPECT_LE(step, max);
          EXPECT_GE(step, before) << "grows with the draw";
          before = step;
        }
      }
    }
  }
}

TEST(Backoff, ALargestBelowTheSmallestWins) {
  for (const double draw : {0.0, 0.5, 0.99}) {
    EXPECT_LE(backoff(5, 1s, 10ms, draw), 10ms);
    EXPECT_GT(backoff(5, 1s, 10ms, draw), 0ns);
  }
}

// Planted: the loop without its test for zero doubles nothing four thousand million times.
TEST(Backoff, WithoutASmallestStepThereIsNoWaitAndNoSpin) {
  EXPECT_EQ(backoff(kMost, 0ns, 10s, 0.5), 0ns);
  EXPECT_EQ(backoff(kMost, 0ns, 0ns, 0.5), 0ns);
}

TEST(ToReap, TakesTheAgedOrTheSurplusDownToTheFloor) {
  struct Row {
    const char* why;
    Reap reap;
    std::uint32_t count;
  };
  for (const Row& r : std::vector<Row>{
           {"nothing there", {}, 0},
           {"nothing aged", {.open = 8, .floor = 2}, 0},
           {"the aged", {.open = 8, .floor = 2, .aged = 3}, 3},
           {"the surplus", {.open = 8, .floor = 2, .surplus = 4}, 4},
           {"not both added up", {.open = 8, .floor = 2, .aged = 3, .surplus = 4}, 4},
           {"down to the floor only", {.open = 8, .floor = 6, .aged = 5}, 2},
           {"at the floor", {.open = 6, .floor = 6, .aged = 5}, 0},
           {"below the floor", {.open = 4, .floor = 6, .aged = 4}, 0},
           {"no floor", {.open = 4, .aged = 4}, 4},
           {"more aged than open", {.open = 2, .aged = 9}, 2},
           {"everything at its most", {.open = kMost, .aged = kMost, .surplus = kMost}, kMost},
       }) {
    EXPECT_EQ(to_reap(r.reap), r.count) << r.why;
  }
}

TEST(FloorSize, IsTheLargerOfTheTwoWishesWithinTheMost) {
  struct Row {
    const char* why;
    std::uint32_t min_size, min_idle, leased, max_size, floor;
  };
  for (const Row& r : std::vector<Row>{
           {"lazy", 0, 0, 0, 8, 0},
           {"lazy, leased ones need no floor", 0, 0, 5, 8, 0},
           {"min_size", 3, 0, 0, 8, 3},
           {"min_size, some leased", 3, 0, 2, 8, 3},
           {"min_idle", 0, 2, 0, 8, 2},
           {"min_idle on top of the leased", 0, 2, 5, 8, 7},
           {"min_idle is more", 3, 2, 2, 8, 4},
           {"min_size is more", 6, 2, 2, 8, 6},
           {"never above the most", 0, 2, 7, 8, 8},
           {"min_size above the most", 9, 0, 0, 8, 8},
           {"no overflow", 0, kMost, kMost, kMost, kMost},
       }) {
    EXPECT_EQ(floor_size(r.min_size, r.min_idle, r.leased, r.max_size), r.floor) << r.why;
  }
}

TEST(CheckedAtOnce, AQuarterOfTheIdleMayBeCheckedAtOnceButAtLeastOne) {
  static_assert(checked_at_once(0) == 1);
  static_assert(checked_at_once(7) == 1);
  static_assert(checked_at_once(8) == 2);
  static_assert(checked_at_once(100) == 25);
}

}  // namespace
}  // namespace tidegate::core::policy
