// Leases that do not come back: one in a long statement, one that waits in a transaction for what
// never comes, one that is held and forgotten.
#include <pthread.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "pause.hpp"
#include "service.hpp"

namespace service {
namespace {

using namespace std::chrono_literals;
using tidegate::CloseReport;
using tidegate::Connection;
using tidegate::Errc;
using tidegate::Lease;

// A thread that holds a lease until its use ends with an error, or it is rescued.
class Holder {
 public:
  Holder(const char* name, Lease lease, std::function<void(Connection&, std::stop_token)> hold)
      : pid_(lease->backend_pid()),
        thread_([this, name, lease = std::move(lease),
                 hold = std::move(hold)](const std::stop_token& rescue) mutable {
          ::pthread_setname_np(::pthread_self(), name);
          Ending ending;
          try {
            const Lease mine = std::move(lease);  // ends where hold() does
            hold(*mine, rescue);
          } catch (const tidegate::Error& error) {
            const std::string text = error.what();
            ending = {error.code(), text.substr(0, text.find('\n'))};
          }
          promise_.set_value(ending);
        }) {}

  int pid() const noexcept { return pid_; }

  // Has it ended as the report is to say: in this phase (empty: not at all), by that error?
  bool ended(const CloseReport& report, std::string_view phase, std::optional<Errc> error) {
    const auto remaining = find_in(report);
    return remaining && remaining->ended_in == phase && ending().error == error;
  }
  std::string fate(const CloseReport& report) {
    const auto remaining = find_in(report);
    if (!remaining) return "not in the report";
    const std::string when = remaining->ended_in.empty() ? "still out" : remaining->ended_in;
    return when + (ending().error ? ": " + ending().text : "");
  }

 private:
  struct Ending {
    std::optional<Errc> error{};
    std::string text{};  // its first line
  };

  std::optional<CloseReport::Remaining> find_in(const CloseReport& report) const {
    for (const auto& remaining : report.remaining) {
      if (remaining.lease.backend_pid == pid_) return remaining;
    }
    return {};
  }
  // What its thread got by now; that may take a moment longer than the end of its lease.
  const Ending& ending() {
    if (!known_ && outcome_.wait_for(1s) == std::future_status::ready) known_ = outcome_.get();
    return known_ ? *known_ : none_;
  }

  const int pid_;  // of its server process
  const Ending none_{};
  std::optional<Ending> known_{};
  std::promise<Ending> promise_{};
  std::future<Ending> outcome_ = promise_.get_future();
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
  Holder sleeping("sleeper", pool.acquire(),
                  [](Connection& connection, const std::stop_token& rescue) {
                    connection.exec({.stop = rescue}, "select pg_sleep(3600)");
                  });
  Holder waiting("waiter", pool.acquire(),
                 [](Connection& connection, const std::stop_token& rescue) {
                   connection.exec("begin");
                   connection.exec("listen never_heard");
                   connection.notifications({}, rescue);
                 });
  Holder forgetting("forgetful", pool.acquire(),
                    [](Connection& connection, const std::stop_token& rescue) {
                      connection.exec("select 'forgotten'");
                      while (!rescue.stop_requested()) pause(rescue, 1h);
                    });
  config.name = "observer";
  config.max_size = 1;
  tidegate::Pool observer(config);
  await_stuck(observer, {sleeping.pid(), waiting.pid(), forgetting.pid()});
  std::printf("three leases are out and will not come back; closing the pool\n");
  std::fflush(stdout);

  const CloseReport report = pool.close(
      {.drain = 500ms, .cancel = 1s, .force = 500ms, .reason = "--stuck", .hurry = hurry});
  std::printf("%s\n", to_string(report).c_str());

  std::printf("the lease that slept in a statement, to be canceled: %s\n",
              sleeping.fate(report).c_str());
  std::printf("the lease that waited in a transaction, to be cut off: %s\n",
              waiting.fate(report).c_str());
  std::printf("the lease that was forgotten, to be reported: %s\n",
              forgetting.fate(report).c_str());
  return sleeping.ended(report, "cancel", Errc::canceled) &&
         waiting.ended(report, "force", Errc::connection_lost) &&
         forgetting.ended(report, "", {}) && report.leases_orphaned == 1;
}

}  // namespace service
