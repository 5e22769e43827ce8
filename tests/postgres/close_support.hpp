// What the tests of closing share: leases that do not come back by themselves.
#pragma once

#include <csignal>

#include <chrono>
#include <functional>
#include <future>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "pool_support.hpp"
#include "pq_support.hpp"
#include "support/rendezvous.hpp"

namespace tidegate::test {

// A phase that something ends long before it is over.
inline constexpr auto kLong = 30s;
// A bound that nothing here comes near to unless it hangs, or sits out such a phase.
inline constexpr auto kPatience = 15s;

// A thread that holds a lease in a statement that does not end, and tells how it ended. Whatever
// becomes of the test the thread comes back: with this, the server process ends.
class BusyLease {
 public:
  static void sleep(Connection& connection) { connection.exec("select pg_sleep(3600)"); }

  explicit BusyLease(Pool& pool, std::function<void(Connection&)> statement = sleep) {
    std::promise<int> pid;
    auto started = pid.get_future();
    std::promise<Errc> end;
    ended_ = end.get_future().share();
    thread_ = std::jthread([&pool, statement = std::move(statement), pid = std::move(pid),
                            end = std::move(end)]() mutable {
      Errc code = Errc::usage;
      {
        Lease lease = pool.acquire();
        pid.set_value(lease->backend_pid());
        try {
          statement(*lease);
        } catch (const QueryError& error) {
          code = error.code();
        }
      }
      end.set_value(code);  // after the lease, so that who is told finds it returned
    });
    pid_ = started.get();
    EXPECT_TRUE(eventually([&] {
      for (const LeaseInfo& lease : pool.leases()) {
        if (lease.backend_pid == pid_ && lease.busy) return true;
      }
      return false;
    }));
  }
  ~BusyLease() {
    if (!has_ended(0s)) ::kill(pid_, SIGTERM);  // heard when it goes on, where it was stopped
    ::kill(pid_, SIGCONT);
  }
  BusyLease(const BusyLease&) = delete;
  BusyLease& operator=(const BusyLease&) = delete;

  int pid() const { return pid_; }
  Errc ended_with() const {
    if (has_ended(kPatience)) return ended_.get();
    ADD_FAILURE() << "the statement goes on";
    return Errc::usage;
  }

 private:
  bool has_ended(std::chrono::seconds patience) const {
    return ended_.wait_for(patience) == std::future_status::ready;
  }

  int pid_ = 0;
  std::shared_future<Errc> ended_;
  std::jthread thread_;
};

// The server is at it, so that one cancel request is enough.
class Sleeper : public BusyLease {
 public:
  explicit Sleeper(Pool& pool) : BusyLease(pool) { pq_test::wait_until_asleep(pid()); }
};

// As whoever acquires now is told. Needs: no connection is free.
inline std::optional<CloseRecord> closer_of(Pool& pool) {
  const auto refused = pool.try_acquire();
  const auto* closed = refused ? nullptr : refused.error().as<PoolClosed>();
  if (closed == nullptr) return std::nullopt;
  return closed->closer();
}

// Waits until the closing thread sleeps in that phase.
inline bool await_phase(Pool& pool, std::string_view phase) {
  return eventually([&] {
    const auto closer = closer_of(pool);
    return closer && closer->phase == phase && asleep(static_cast<std::int32_t>(closer->thread_id));
  });
}

}  // namespace tidegate::test
