// Connects that stay inside one call: each gives its slot up, the pool goes on, and says where its
// threads are.
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "pool_support.hpp"
#include "support/stuck_calls.hpp"
#include "support/stuck_look_ups.hpp"

namespace tidegate::test {
namespace {

using testing::HasSubstr;

PoolConfig impatient(std::uint32_t size = 1) {
  return {.name = "impatient",
          .max_size = size,
          .connect_timeout = 50ms,
          .connect_backoff_min = 1ms,
          .connect_backoff_max = 2ms,
          .health_period = 1h,
          .ping_after = 0ms};
}

// A hook that stays inside when it is called for the first time, until it is let go.
class StuckHook {
 public:
  void operator()() {
    std::unique_lock lock(mutex_);
    if (calls_++ > 0) return;
    changed_.wait(lock, [this] { return let_go_; });
  }
  void let_go() {
    std::lock_guard lock(mutex_);
    let_go_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int calls_ = 0;
  bool let_go_ = false;
};

// Balances connect_started with connect_ended.
struct Connects : tidegate::Observer {
  void connect_started() override { ++started; }
  void connect_ended(const ConnectEnded& event) override {
    ++ended;
    std::lock_guard lock(mutex);
    if (event.error != nullptr) errors.emplace_back(event.error->what());
  }
  std::vector<std::string> all_errors() {
    std::lock_guard lock(mutex);
    return errors;
  }
  std::atomic<int> started{0};
  std::atomic<int> ended{0};
  std::mutex mutex;
  std::vector<std::string> errors;
};

// The first connect of a pool of one is stuck `in` that: an acquire gets the next one. Whoever
// looks on is told, and once the thread is let go there is nothing left of what it made.
template <class LetGo>
void expect_to_go_on(PoolConfig config, const std::string& in, std::uint64_t abandoned,
                     LetGo&& let_go) {
  Observer observer;
  const auto connects = std::make_shared<Connects>();
  config.observer = connects;
  config.connect_timeout = 2s;  // the next connect must not time out on a busy machine
  {
    Pool pool(config);
    {
      const Lease lease = pool.acquire(Deadline(30s));
      const Stats stats = pool.stats();
      EXPECT_EQ(stats.create_errors, 1);
      EXPECT_EQ(stats.created, 1);
      EXPECT_EQ(stats.connecting, 0);
      EXPECT_EQ(stats.connects_stuck, 1);
      EXPECT_EQ(stats.backends_abandoned, abandoned);
      EXPECT_EQ(connects->started, 2);
      EXPECT_EQ(connects->ended, 2);
      ASSERT_EQ(connects->all_errors().size(), 1u);
      EXPECT_THAT(connects->all_errors()[0], HasSubstr("the connect has not returned for"));
      EXPECT_THAT(connects->all_errors()[0], HasSubstr(" is in " + in));
      let_go();
      EXPECT_TRUE(eventually([&] { return pool.stats().connects_stuck == 0; }));
      EXPECT_EQ(lease->query_value<int>("select 1"), 1) << "it is nobody else's";
      EXPECT_TRUE(eventually([&] { return observer.backends("impatient") == 1; }))
          << "what came late is closed";
    }
    EXPECT_EQ(pool.query_value<int>("select 2"), 2);
    EXPECT_EQ(pool.stats().created, 1);
    EXPECT_EQ(pool.stats().backends_abandoned, abandoned) << "counted once";
    EXPECT_TRUE(pool.close().stuck_threads.empty());
  }
  EXPECT_EQ(connects->started, connects->ended);
}

TEST(StuckConnect, InANameLookUpLeavesThePoolAlive) {
  auto stuck = std::make_unique<StuckLookUps>("stuck.invalid");
  PoolConfig config = impatient();
  std::atomic<int> calls{0};
  config.hooks.before_connect = [&](ConnectParams& params) {
    if (++calls == 1) params.set("host", "stuck.invalid");
  };
  expect_to_go_on(config, "a connect, at the look-up of a host name", 0, [&] { stuck.reset(); });
}

TEST(StuckConnect, InTheStartOfTheConnectLeavesThePoolAlive) {
  PoolConfig config = impatient();
  std::unique_ptr<StuckCalls> stuck;
  std::atomic<int> calls{0};
  config.hooks.before_connect = [&](ConnectParams&) {
    if (++calls == 1) stuck = std::make_unique<StuckCalls>(LibpqCall::connect_start, 1);
  };
  expect_to_go_on(config, "a connect, in PQconnectStartParams()", 0, [&] { stuck.reset(); });
}

TEST(StuckConnect, InAStepOfTheHandshakeLeavesThePoolAlive) {
  PoolConfig config = impatient();
  std::unique_ptr<StuckCalls> stuck;
  std::atomic<int> calls{0};
  config.hooks.before_connect = [&](ConnectParams&) {
    if (++calls == 1) stuck = std::make_unique<StuckCalls>(LibpqCall::connect_poll, 1);
  };
  std::atomic<int> prepared{0};
  config.hooks.after_connect = [&](Connection&) { ++prepared; };
  expect_to_go_on(config, "a connect, in PQconnectPoll()", 1, [&] { stuck.reset(); });
  EXPECT_EQ(prepared, 1) << "what came late is nobody's";
}

TEST(StuckConnect, InBeforeConnectLeavesThePoolAlive) {
  PoolConfig config = impatient();
  const auto hook = std::make_shared<StuckHook>();
  config.hooks.before_connect = [hook](ConnectParams&) { (*hook)(); };
  expect_to_go_on(config, "hook before_connect", 0, [&] { hook->let_go(); });
}

TEST(StuckConnect, InAfterConnectLeavesThePoolAlive) {
  PoolConfig config = impatient();
  const auto hook = std::make_shared<StuckHook>();
  config.hooks.after_connect = [hook](Connection&) { (*hook)(); };
  expect_to_go_on(config, "hook after_connect", 1, [&] { hook->let_go(); });
}

// Every connect is stuck: four threads are left behind, or as many as connect at once. Then an
// acquire is told why there is no connection, and when one returns the pool goes on by itself.
TEST(StuckConnect, NoMoreThanFourAreDetachedAndWhenOneReturnsThePoolGoesOn) {
  PoolConfig config = impatient(8);
  config.max_connecting = 2;
  config.conninfo = "host=127.0.0.1 port=1";  // refused, when it is asked
  Pool pool(config);
  auto stuck = std::make_unique<StuckCalls>(LibpqCall::connect_start, 1000);
  std::string text;
  EXPECT_TRUE(eventually([&] {
    const auto refused = pool.try_acquire(Deadline(100ms));
    text = refused ? "" : refused.error().what();
    return text.find("4 connects that were given up have not returned") != text.npos;
  })) << text;
  EXPECT_THAT(text, HasSubstr("is in a connect, in PQconnectStartParams() for "));
  EXPECT_EQ(stuck->inside(), 4);
  EXPECT_EQ(stuck->so_far(), 4);
  EXPECT_EQ(pool.stats().connects_stuck, 4);
  stuck.reset();
  EXPECT_TRUE(eventually([&] {
    const auto refused = pool.try_acquire(Deadline(100ms));
    text = refused ? "" : refused.error().what();
    return text.find("refused") != text.npos;
  })) << text;
  EXPECT_TRUE(eventually([&] { return pool.stats().connects_stuck == 0; }));
}

TEST(StuckConnect, WhoseThreadIsDetachedIsNamedByTheClose) {
  StuckCalls stuck(LibpqCall::connect_start, 1);
  {
    PoolConfig config = impatient();
    config.conninfo = "host=127.0.0.1 port=1";
    Pool pool(config);
    EXPECT_FALSE(pool.try_acquire().has_value());
    ASSERT_TRUE(eventually([&] { return pool.stats().connects_stuck == 1; }));
    const CloseReport report = pool.close({.drain = 0ms, .cancel = 0ms, .force = 0ms});
    ASSERT_EQ(report.stuck_threads.size(), 1u);
    EXPECT_EQ(report.stuck_threads[0].role, "opener");
    EXPECT_EQ(report.stuck_threads[0].in, "a connect, in PQconnectStartParams()");
  }
}

}  // namespace
}  // namespace tidegate::test
