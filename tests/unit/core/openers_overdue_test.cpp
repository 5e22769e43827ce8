// Openings that do not return: each gives its slot up, once, and few threads may be left behind.
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <support/fake_resources.hpp>
#include <support/rendezvous.hpp>
#include <tidegate/core/openers.hpp>

namespace tidegate::core {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using test::await;

// Every opening stays inside until the test lets it go, and does not hear of a stop.
class StuckClient final : public OpenerClient {
 public:
  enum class Where : std::uint8_t { before_settling, after_settling };

  // The next slot to be opened; its opening stays in `where`.
  void add(std::uint32_t slot, Where where = Where::before_settling) {
    std::lock_guard lock(mutex_);
    to_open_.push_back(slot);
    where_[slot] = where;
  }
  void let_go(std::uint32_t slot) {
    std::lock_guard lock(mutex_);
    let_go_[slot] = true;
    changed_.notify_all();
  }
  bool is_inside(std::uint32_t slot) {
    std::lock_guard lock(mutex_);
    return inside_[slot];
  }
  struct Book {
    int opened = 0;
    int failed = 0;
    int dropped = 0;  // made, and not to be kept
    std::vector<Overdue> overdue{};
    std::optional<OpenFailure> why{};
  };
  Book book(std::uint32_t slot) {
    std::lock_guard lock(mutex_);
    return books_[slot];
  }

 private:
  std::optional<std::uint32_t> take_to_open() noexcept override {
    std::lock_guard lock(mutex_);
    if (to_open_.empty()) return std::nullopt;
    const std::uint32_t slot = to_open_.front();
    to_open_.erase(to_open_.begin());
    return slot;
  }
  OpenFailure open(std::uint32_t slot, const std::stop_token&, Deadline) noexcept override {
    const Doing doing("a call that does not return");
    std::unique_lock lock(mutex_);
    if (where_[slot] == Where::after_settling) {
      lock.unlock();
      EXPECT_TRUE(Openers::settle());
      lock.lock();
    }
    inside_[slot] = true;
    changed_.wait(lock, [&] { return let_go_[slot]; });
    inside_[slot] = false;
    lock.unlock();
    const bool ours = Openers::settle();
    lock.lock();
    if (!ours) ++books_[slot].dropped;
    return OpenFailure::none;
  }
  void overdue(std::uint32_t slot, const Overdue& how) noexcept override {
    std::lock_guard lock(mutex_);
    books_[slot].overdue.push_back(how);
  }
  void opened(std::uint32_t slot) noexcept override {
    std::lock_guard lock(mutex_);
    ++books_[slot].opened;
  }
  void open_failed(std::uint32_t slot, OpenFailure why,
                   steady_clock::time_point) noexcept override {
    std::lock_guard lock(mutex_);
    ++books_[slot].failed;
    books_[slot].why = why;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::uint32_t> to_open_;
  std::map<std::uint32_t, Where> where_;
  std::map<std::uint32_t, bool> let_go_;
  std::map<std::uint32_t, bool> inside_;
  std::map<std::uint32_t, Book> books_;
};

class OpenersOverdue : public testing::Test {
 protected:
  static constexpr OpenersConfig with_threads(std::uint32_t threads) {
    return {.max_threads = threads, .max_detached = 2, .backoff_min = 1ms, .backoff_max = 1ms};
  }
  void begin(Openers& openers, std::uint32_t slot,
             StuckClient::Where where = StuckClient::Where::before_settling) {
    client.add(slot, where);
    openers.want(1);
    await("an opening to begin", [&] { return client.is_inside(slot); });
  }
  // Past the time of everything that is under way.
  static steady_clock::time_point later() { return steady_clock::now() + 1h; }

  StuckClient client;
};

TEST_F(OpenersOverdue, AnOpeningHasItsTimeAndSomeGrace) {
  Openers openers({.max_threads = 1, .open_timeout = 1h, .grace = 1h}, client);
  begin(openers, 0);
  openers.give_up_overdue(steady_clock::now() + 1h + 50min);
  EXPECT_EQ(client.book(0).failed, 0);
  openers.give_up_overdue(steady_clock::now() + 2h);
  EXPECT_EQ(client.book(0).failed, 1);
  client.let_go(0);
}

TEST_F(OpenersOverdue, AnOpeningThatDoesNotReturnIsAFailureAndSaysWhereItIs) {
  Openers openers(with_threads(1), client);
  begin(openers, 0);
  openers.give_up_overdue(later());
  openers.give_up_overdue(later());
  const auto book = client.book(0);
  EXPECT_EQ(book.failed, 1);
  EXPECT_EQ(book.why, OpenFailure::unavailable);
  ASSERT_EQ(book.overdue.size(), 1u);
  EXPECT_TRUE(book.overdue[0].begun);
  EXPECT_STREQ(book.overdue[0].in, "a call that does not return");
  EXPECT_NE(book.overdue[0].thread_id, 0);
  EXPECT_EQ(book.overdue[0].detached, 1u);
  EXPECT_EQ(openers.backoff().failures, 1u);
  EXPECT_EQ(openers.detached(), 1u);
  client.let_go(0);
  await("its thread to come back", [&] { return openers.detached() == 0; });
}

// Drawn in openers.hpp.
TEST_F(OpenersOverdue, AnOpeningThatEndsJustBeforeItIsGivenUpKeepsItsSlot) {
  Openers openers(with_threads(1), client);
  begin(openers, 0, StuckClient::Where::after_settling);
  openers.give_up_overdue(later());
  EXPECT_EQ(client.book(0).failed, 0);
  client.let_go(0);
  await("it to be opened", [&] { return client.book(0).opened == 1; });
  EXPECT_EQ(client.book(0).dropped, 0);
  EXPECT_EQ(openers.detached(), 0u);
}

TEST_F(OpenersOverdue, AnOpeningThatEndsJustAfterItIsGivenUpTouchesNoSlot) {
  Openers openers(with_threads(1), client);
  begin(openers, 0);
  openers.give_up_overdue(later());
  client.let_go(0);
  await("it to return", [&] { return client.book(0).dropped == 1; });
  openers.stop();
  EXPECT_EQ(client.book(0).opened, 0);
  EXPECT_EQ(client.book(0).failed, 1);
}

// It keeps neither its slot nor its turn.
TEST_F(OpenersOverdue, TheNextOneBeginsOnAThreadOfItsOwn) {
  Openers openers(with_threads(1), client);
  begin(openers, 0);
  openers.give_up_overdue(later());
  begin(openers, 1);
  client.let_go(1);
  await("it to be opened", [&] { return client.book(1).opened == 1; });
  EXPECT_EQ(openers.backoff().failures, 0u);
  EXPECT_TRUE(client.is_inside(0));
  client.let_go(0);
}

// The one attempt of a backoff step does not return: that is no reason for no more attempts.
TEST_F(OpenersOverdue, AProbeGivesItsTurnUp) {
  Openers openers(with_threads(1), client);
  begin(openers, 0);
  openers.give_up_overdue(later());
  client.let_go(0);
  await("its thread to come back", [&] { return openers.detached() == 0; });
  begin(openers, 1);  // the probe
  openers.give_up_overdue(later());
  begin(openers, 2);  // the next
  client.let_go(1);
  client.let_go(2);
  await("it to be opened", [&] { return client.book(2).opened == 1; });
}

// Planted: refused() that never refuses. A resolver that hangs for an hour costs a thread a minute.
TEST_F(OpenersOverdue, NoMoreBeginThanMayBeDetachedUntilOneReturns) {
  Openers openers(with_threads(1), client);
  begin(openers, 0);
  openers.give_up_overdue(later());
  begin(openers, 1);
  openers.give_up_overdue(later());
  EXPECT_EQ(openers.detached(), 2u);
  client.add(2);
  openers.want(1);
  await("it to fail", [&] { return client.book(2).failed == 1; });
  const auto book = client.book(2);
  EXPECT_EQ(book.why, OpenFailure::unavailable);
  ASSERT_EQ(book.overdue.size(), 1u);
  EXPECT_FALSE(book.overdue[0].begun);
  EXPECT_STREQ(book.overdue[0].in, "a call that does not return");
  EXPECT_EQ(book.overdue[0].detached, 2u);

  client.let_go(0);
  await("one to come back", [&] { return openers.detached() == 1; });
  begin(openers, 3);
  client.let_go(3);
  await("it to be opened", [&] { return client.book(3).opened == 1; });
  client.let_go(1);
}

TEST_F(OpenersOverdue, WhoIsDetachedIsWaitedForAndNamedByAStop) {
  Openers openers(with_threads(1), client);
  begin(openers, 0);
  openers.give_up_overdue(later());
  EXPECT_FALSE(openers.stop(Deadline::now()));
  const auto running = openers.running();
  ASSERT_EQ(running.size(), 1u);
  EXPECT_STREQ(running[0].in, "a call that does not return");
  client.let_go(0);
  EXPECT_TRUE(openers.stop());
}

constexpr std::uint32_t kSlots = 400;

// Openings that take about as long as they may: whoever comes first has the slot, once.
TEST(OpenersOverdueRace, EverySlotEndsOnceAndNothingIsLost) {
  struct Client final : OpenerClient {
    std::optional<std::uint32_t> take_to_open() noexcept override {
      std::lock_guard lock(mutex);
      if (next == kSlots) return std::nullopt;
      return next++;
    }
    OpenFailure open(std::uint32_t slot, const std::stop_token&, Deadline by) noexcept override {
      while (!by.passed()) std::this_thread::yield();
      ++made;
      if (!Openers::settle()) {
        ++dropped;
        return OpenFailure::aborted;
      }
      plain[slot] = 1;  // TSan sees two owners
      return OpenFailure::none;
    }
    void opened(std::uint32_t slot) noexcept override {
      EXPECT_EQ(plain[slot]++, 1);
      ++opens;
    }
    void open_failed(std::uint32_t slot, OpenFailure, steady_clock::time_point) noexcept override {
      EXPECT_EQ(plain[slot]++, 0);
      ++failures;
    }
    std::mutex mutex;
    std::uint32_t next = 0;  // mutex
    int plain[kSlots] = {};
    std::atomic<int> made{0}, dropped{0}, opens{0}, failures{0};
  };
  Client client;
  Openers openers({.max_threads = 4,
                   .max_detached = 64,
                   .open_timeout = 100us,
                   .grace = 0ns,
                   .backoff_min = 1us,
                   .backoff_max = 1us},
                  client);
  await("all slots to end", [&] {
    openers.want(4);
    openers.give_up_overdue(steady_clock::now());
    return client.opens + client.failures == static_cast<int>(kSlots);
  });
  openers.stop();
  EXPECT_EQ(client.made, client.opens + client.dropped);
  EXPECT_EQ(openers.detached(), 0u);
}

// ---- the same in a pool ----------------------------------------------------------------------

TEST(ResourcePoolOverdue, ACreationThatDoesNotReturnLeavesThePoolAlive) {
  test::FakeResources things;
  std::mutex mutex;
  std::condition_variable changed;
  bool stuck = true;
  std::atomic<int> creations{0};
  things.before_create([&](const std::stop_token&) -> std::optional<ErrorValue> {
    if (++creations > 1) return std::nullopt;
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return !stuck; });
    return std::nullopt;
  });
  auto config = things.config(1);
  config.open_timeout = 10ms;
  test::FakeResources::Pool pool(std::move(config));
  auto got = pool.acquire(Deadline(30s));
  ASSERT_TRUE(got);
  EXPECT_EQ(pool.stats().create_failed, 1u);
  EXPECT_EQ(pool.stats().created, 1u);
  {
    std::lock_guard lock(mutex);
    stuck = false;
    changed.notify_all();
  }
  await("the late one to be ended", [&] { return things.created() == 2 && things.alive() == 1; });
  EXPECT_EQ(got.lease->id(), 0) << "it is nobody's but its holder's";
  EXPECT_TRUE(pool.balances());
}

}  // namespace
}  // namespace tidegate::core
