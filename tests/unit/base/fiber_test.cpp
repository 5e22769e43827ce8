// Fiber: a call that stops where it would wait. Each test is its own little event loop.
#include <base/fiber.hpp>

#include <poll.h>
#include <unistd.h>

#include <cfenv>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace tidegate::detail {
namespace {

using namespace std::chrono_literals;

// Runs `body` on a fiber.
template <class F>
struct On {
  F body;
  Fiber fiber{[](void* self) noexcept { static_cast<On*>(self)->body(); }, this};
  explicit On(F f) : body(std::move(f)) {}
};

Waited stop_here(short* seen = nullptr) {
  short unused = 0;
  return wait_for(-1, 0, -1, Deadline::never(), seen != nullptr ? *seen : unused);
}

TEST(Fiber, StopsWhereItWaitsAndGoesOn) {
  std::string log;
  On on([&] {
    log += "a";
    stop_here();
    log += "b";
    stop_here();
    log += "c";
  });
  EXPECT_EQ(log, "");
  EXPECT_TRUE(on.fiber.resume());
  EXPECT_EQ(log, "a");
  EXPECT_TRUE(on.fiber.resume());
  EXPECT_EQ(log, "ab");
  EXPECT_FALSE(on.fiber.returned());
  EXPECT_FALSE(on.fiber.resume());
  EXPECT_EQ(log, "abc");
  EXPECT_TRUE(on.fiber.returned());
}

TEST(Fiber, SaysWhatItWaitsForAndHearsWhatHasCome) {
  Waited waited{};
  short seen = 0;
  const Deadline until(3s);
  On on([&] { waited = wait_for(7, POLLIN | POLLOUT, 8, until, seen); });
  ASSERT_TRUE(on.fiber.resume());
  EXPECT_EQ(on.fiber.wait().fd, 7);
  EXPECT_EQ(on.fiber.wait().events, POLLIN | POLLOUT);
  EXPECT_EQ(on.fiber.wait().wake_fd, 8);
  EXPECT_EQ(on.fiber.wait().until, until);
  EXPECT_FALSE(on.fiber.resume(Waited::woken, POLLOUT));
  EXPECT_EQ(waited, Waited::woken);
  EXPECT_EQ(seen, POLLOUT);
}

TEST(Fiber, IsCurrentOnlyOnItsOwnStack) {
  EXPECT_EQ(Fiber::current(), nullptr);
  Fiber* inside = nullptr;
  On on([&] {
    inside = Fiber::current();
    stop_here();
  });
  on.fiber.resume();
  EXPECT_EQ(inside, &on.fiber);
  EXPECT_EQ(Fiber::current(), nullptr);
  on.fiber.resume();
}

TEST(Fiber, RunsAnotherOneInItsBody) {
  std::string log;
  On inner([&] {
    log += "i";
    stop_here();
    log += "j";
  });
  On outer([&] {
    log += "o";
    Fiber* const self = Fiber::current();
    EXPECT_TRUE(inner.fiber.resume());
    EXPECT_EQ(Fiber::current(), self);
    stop_here();
    EXPECT_FALSE(inner.fiber.resume());
    log += "p";
  });
  EXPECT_TRUE(outer.fiber.resume());
  EXPECT_FALSE(outer.fiber.resume());
  EXPECT_EQ(log, "oijp");
}

TEST(Fiber, ThatWasToldToBlockWaitsItself) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "x", 1), 1);
  short seen = 0;
  Waited waited{};
  On on([&] {
    stop_here();
    waited = wait_for(ends[0], POLLIN, -1, Deadline(10s), seen);
  });
  ASSERT_TRUE(on.fiber.resume());
  on.fiber.block();
  EXPECT_FALSE(on.fiber.resume()) << "poll(2) was not asked";
  EXPECT_EQ(waited, Waited::ready);
  EXPECT_EQ(seen, POLLIN);
  ::close(ends[0]);
  ::close(ends[1]);
}

// The C++ runtime keeps what is being handled by thread. Two stacks on one thread that stop in the
// middle of it must not see each other's.
TEST(Fiber, HandlesItsOwnExceptions) {
  const auto handle = [](const char* what, std::string& now) {
    try {
      throw std::runtime_error(what);
    } catch (const std::runtime_error&) {
      stop_here();
      try {
        throw;  // the exception that this stack is handling
      } catch (const std::runtime_error& e) {
        now = e.what();
      }
    }
  };
  std::string first;
  std::string second;
  On a([&] { handle("first", first); });
  On b([&] { handle("second", second); });
  a.fiber.resume();
  EXPECT_EQ(std::current_exception(), nullptr) << "the loop handles none";
  b.fiber.resume();
  a.fiber.resume();
  b.fiber.resume();
  EXPECT_EQ(first, "first");
  EXPECT_EQ(second, "second");
}

TEST(Fiber, UnwindsWhileItStops) {
  int in_flight = -1;
  struct Stops {
    int& in_flight;
    ~Stops() {
      stop_here();
      in_flight = std::uncaught_exceptions();
    }
  };
  bool caught = false;
  On on([&] {
    try {
      const Stops stops{in_flight};
      throw std::runtime_error("unwound");
    } catch (const std::runtime_error&) {
      caught = true;
    }
  });
  ASSERT_TRUE(on.fiber.resume());
  EXPECT_EQ(std::uncaught_exceptions(), 0) << "the loop has none in flight";
  try {
    throw 1;
  } catch (int) {  // the loop may handle one of its own meanwhile
    EXPECT_FALSE(on.fiber.resume());
  }
  EXPECT_EQ(in_flight, 1);
  EXPECT_TRUE(caught);
}

// A call, because a compiler takes the thread of one function for the same from end to end.
[[gnu::noinline]] std::thread::id this_thread() {
  asm volatile("" ::: "memory");
  return std::this_thread::get_id();
}

TEST(Fiber, GoesOnInAnotherThread) {
  std::vector<std::thread::id> threads;
  On on([&] {
    for (int i = 0; i < 3; ++i) {
      threads.push_back(this_thread());
      try {
        throw i;
      } catch (int) {
        stop_here();
      }
    }
  });
  on.fiber.resume();
  std::thread([&] { on.fiber.resume(); }).join();
  on.fiber.resume();
  EXPECT_FALSE(on.fiber.resume());
  ASSERT_EQ(threads.size(), 3u);
  EXPECT_EQ(threads[0], std::this_thread::get_id());
  EXPECT_NE(threads[1], threads[0]);
  EXPECT_EQ(threads[2], threads[0]);
}

TEST(Fiber, KeepsTheRoundingModeOfEachStack) {
  On on([&] {
    EXPECT_EQ(std::fegetround(), FE_TONEAREST);
    std::fesetround(FE_UPWARD);
    stop_here();
    EXPECT_EQ(std::fegetround(), FE_UPWARD);
  });
  on.fiber.resume();
  EXPECT_EQ(std::fegetround(), FE_TONEAREST);
  on.fiber.resume();
  EXPECT_EQ(std::fegetround(), FE_TONEAREST);
}

// More than there are stacks kept, and each deep in its own.
TEST(Fiber, HasAStackOfItsOwn) {
  struct Deep {
    static int sum(int n) {
      volatile char page[1024];
      page[0] = static_cast<char>(n);
      if (n == 0) {
        stop_here();
        return 0;
      }
      return sum(n - 1) + page[0];
    }
  };
  constexpr int kDepth = 100;  // some 100 KiB
  struct One {
    int sum = 0;
    std::unique_ptr<Fiber> fiber{};
  };
  std::vector<One> all(200);
  for (int round = 0; round < 2; ++round) {
    for (One& one : all) {
      one.fiber = std::make_unique<Fiber>(
          [](void* of) noexcept { static_cast<One*>(of)->sum = Deep::sum(kDepth); }, &one);
      ASSERT_TRUE(one.fiber->resume());
    }
    for (One& one : all) {
      ASSERT_FALSE(one.fiber->resume());
      EXPECT_EQ(one.sum, kDepth * (kDepth + 1) / 2);
    }
  }
}

TEST(Fiber, ThatNeverBeganLeavesNothing) {
  On on([] { FAIL(); });
  EXPECT_FALSE(on.fiber.returned());
}

}  // namespace
}  // namespace tidegate::detail
