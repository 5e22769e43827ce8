// Leases that do not come back: one in a long statement, one that waits in a transaction for what
// never comes, one that is held and forgotten.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "pause.hpp"
#include "service.hpp"

namespace service {
namespace {

using namespace std::chrono_literals;
using tidegate::Connection;
using tidegate::Errc;
using tidegate::Lease;

// A thread that holds a lease until its use ends with an error, or it is rescued.
class Holder {
 public:
  Holder(Lease lease, std::function<void(Connection&, std::stop_token)> hold)
      : pid_(lease->backend_pid()),
        thread_([this, lease = std::move(lease),
                 hold = std::move(hold)](const std::stop_token& rescue) mutable {
          Ending ending;
          try {
            const Lease mine = std::move(lease);  // ends where hold() does
            hold(*mine, rescue);
          } catch (const tidegate::Error& error) {
            ending = {error.code(), error.what()};
          }
          ending_.set_value(ending);
        }) {}

  int pid() const noexcept { return pid_; }

  // Says how it ended by itself, if it did. True when with an error of that code.
  bool ended_by(Errc code) {
    auto ending = ending_.get_future();
    if (ending.wait_for(1s) != std::future_status::ready) return false;
    const auto [actual, text] = ending.get();
    std::printf("  its thread got: %s\n", text.substr(0, text.find('\n')).c_str());
    return actual == code;
  }

 private:
  struct Ending {
    std::optional<Errc> code{};
    std::string text{"no error"};
  };

  const int pid_;  // of its server process
  std::promise<Ending> ending_{};
  std::jthread thread_;  // its end rescues
};

// Until these server processes are in the states that are to be shown.
void await_stuck(tidegate::Pool& observer, const std::vector<int>& pids) {
  const tidegate::Deadline deadline = 10s;
  while (observer.query_value<std::int64_t>(
             "select count(*) from pg_stat_activity where pid = any($1)"
             " and (query like 'select pg_sleep%' and state = 'active'"
             "      or query like 'listen%' and state = 'idle in transaction'"
             "      or query like 'select ''forgotten''%' and state = 'idle')",
             pids) < 3) {
    if (deadline.passed()) throw std::runtime_error("the leases did not get stuck within 10 s");
    pause({}, 10ms);
  }
}

}  // namespace

bool show_stuck(tidegate::PoolConfig config, const std::stop_token& hurry) {
  config.name = "stuck";
  config.max_size = 3;
  config.min_size = config.min_idle = 0;
  tidegate::Pool pool(config);
  Holder sleeping(pool.acquire(), [](Connection& connection, const std::stop_token& rescue) {
    connection.exec({.stop = rescue}, "select pg_sleep(3600)");
  });
  Holder waiting(pool.acquire(), [](Connection& connection, const std::stop_token& rescue) {
    connection.exec("begin");
    connection.exec("listen never_heard");
    connection.notifications({}, rescue);
  });
  Holder forgetting(pool.acquire(), [](Connection& connection, const std::stop_token& rescue) {
    connection.exec("select 'forgotten'");
    while (!rescue.stop_requested()) pause(rescue, 1h);
  });
  config.name = "observer";
  config.max_size = 1;
  tidegate::Pool observer(config);
  await_stuck(observer, {sleeping.pid(), waiting.pid(), forgetting.pid()});
  std::printf("three leases are out and will not come back; closing the pool\n");
  std::fflush(stdout);

  const tidegate::CloseReport report = pool.close(short_phases("--stuck", hurry));
  std::printf("%s\n", to_string(report).c_str());

  std::printf("the lease that slept in a statement, to be canceled\n");
  const bool canceled = sleeping.ended_by(Errc::canceled);
  std::printf("the lease that waited in a transaction, to be cut off\n");
  const bool forced = waiting.ended_by(Errc::connection_lost);
  std::printf("the lease that was forgotten, to be reported: %u are out\n", report.leases_orphaned);
  return canceled && forced && report.leases_orphaned == 1;
}

}  // namespace service
