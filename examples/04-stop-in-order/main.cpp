// A service that stops in order: nobody meets a closed pool, and what was begun is finished.
#include <tidegate/tidegate.hpp>

#include <csignal>
#include <iostream>
#include <thread>
#include <vector>

int main() {
  using namespace std::chrono_literals;
  tidegate::SignalWaiter signals{SIGTERM, SIGINT};  // first: threads inherit the blocked signals
  tidegate::Pool pool{"pool_name=orders pool_max_conns=4 pool_acquire_timeout=2s"};
  std::vector<std::jthread> workers;
  for (int i = 0; i < 16; ++i) {
    workers.emplace_back([&pool](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        tidegate::Lease lease = pool.acquire();  // or AcquireTimeout, which says who holds them
        lease->exec("select pg_sleep(0.01), $1::int4", 42);
      }  // the lease ends here: the connection goes to whoever has waited longest
    });
  }

  tidegate::ShutdownPlan plan{{.total = 30s}};
  plan.stage("lame duck", 1s, [&](tidegate::StageContext&) { pool.announce_shutdown("SIGTERM"); });
  plan.stage("stop workers", 15s, [&](tidegate::StageContext&) {
    for (std::jthread& worker : workers) worker.request_stop();
    workers.clear();  // each ends what it has begun
  });
  plan.stage("close pool", 13s, [&](tidegate::StageContext& stage) {
    std::cout << to_string(pool.close({.hurry = stage.stop_token()})) << '\n';
  });
  return plan.run_on(signals).exit_code();  // waits for a signal; a second one hurries the stages
}
