// What the pool's PostgreSQL tests share. The server is named by PGHOST, PGPORT, ...
#pragma once

#include <tidegate/tidegate.hpp>

#include <gtest/gtest.h>

#include <csignal>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tidegate::test {

using namespace std::chrono_literals;

// Waits for `done`, looking again and again, for as long as it may take on a loaded machine. A
// condition that never comes fails the test; nothing depends on how long it takes.
inline bool eventually(const std::function<bool()>& done, std::chrono::seconds patience = 30s) {
  const Deadline deadline(patience);
  while (!done()) {
    if (deadline.passed()) return false;
    std::this_thread::yield();
  }
  return true;
}

// Until every connection that is idle now has been so for long enough to be looked at (20 ms).
inline void await_idle_long_enough() {
  const Deadline over(60ms);
  eventually([&] { return over.passed(); });
}

// `f` wants a connection in vain. What ends it does so before `other` has passed, which would end
// it, too.
template <class F>
void expect_timeout_before(std::chrono::milliseconds other, F&& f) {
  const Deadline too_late(other);
  EXPECT_THROW(std::forward<F>(f)(), AcquireTimeout);
  EXPECT_FALSE(too_late.passed());
}

inline std::vector<Lease> lease_all(Pool& pool) {
  std::vector<Lease> leases;
  for (std::uint32_t i = 0; i < pool.config().max_size; ++i) leases.push_back(pool.acquire());
  return leases;
}

inline int pid_of(Pool& pool) {
  return pool.with([](Connection& c) { return c.backend_pid(); });
}

// A server process that does not answer as long as this lives.
class Frozen {
 public:
  explicit Frozen(int pid) : pid_(pid) { EXPECT_EQ(::kill(pid_, SIGSTOP), 0); }
  ~Frozen() { ::kill(pid_, SIGCONT); }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

 private:
  int pid_;
};

// A session of the test's own, beside the pool under test.
class Observer {
 public:
  Observer() : pool_(PoolConfig{.name = "observer", .max_size = 1}) {}

  template <class T, class... Args>
  T value(Sql sql, const Args&... args) {
    return pool_.query_value<T>(sql, args...);
  }
  // Server processes of the pool `name`.
  std::int64_t backends(const std::string& name) {
    return pool_.query_value<std::int64_t>(
        "select count(*) from pg_stat_activity where application_name = $1", "tidegate/" + name);
  }
  bool alive(int pid) {
    return pool_.query_value<bool>("select exists (select from pg_stat_activity where pid = $1)",
                                   pid);
  }
  // Ends a server process and waits until it is gone.
  void terminate(int pid) {
    pool_.query_value<bool>("select pg_terminate_backend($1)", pid);
    EXPECT_TRUE(eventually([&] { return !alive(pid); }));
  }

 private:
  Pool pool_;
};

inline std::size_t count_entries(const char* directory) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory)) ++count;
  return count;
}
inline std::size_t open_files() { return count_entries("/proc/self/fd"); }
inline std::size_t threads() { return count_entries("/proc/self/task"); }

}  // namespace tidegate::test
