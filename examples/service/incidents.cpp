// Six things that go wrong in a service, and what the pool itself says of each: its log, the error
// that a caller gets, its health, its metrics and its page (docs/operating.md shows the output).
//
//   tidegate-incidents [--page COMMAND] NAME
//
// With --page a shell runs COMMAND with the address of the page, which is there until it ends.
// Needs a server in PGHOST, PGPORT, ...; scripts/incidents has one for each.
#include <tidegate/tidegate.hpp>

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "inspector.hpp"

namespace service {
namespace {

using namespace std::chrono_literals;
using tidegate::Deadline;
using tidegate::Lease;
using tidegate::Pool;
using tidegate::PoolConfig;

constexpr auto kLongEnough = 30s;

void print(std::string_view what, const std::string& text) {
  std::printf("%-8.*s%s\n", static_cast<int>(what.size()), what.data(), text.c_str());
  std::fflush(stdout);
}

// Until `done`; a server that is busy may take a while.
void await(const std::function<bool()>& done) {
  const Deadline give_up(kLongEnough);
  while (!done()) {
    if (give_up.passed()) throw std::runtime_error("what was to be shown does not come");
    std::this_thread::sleep_for(5ms);
  }
}

// What an operator looks at.
class Stage {
 public:
  explicit Stage(std::string command) : command_(std::move(command)) {}

  PoolConfig config(std::string_view conninfo = "") {
    PoolConfig config = PoolConfig::parse(conninfo);
    config.name = "orders";
    config.max_size = 2;
    config.observer = tidegate::log_to("orders", [this](const tidegate::LogEvent& event) {
      feed_.add(event);
      to_stderr_(event);  // main() has made this the standard output
    });
    return config;
  }

  void show(const Pool& pool, const std::vector<std::string_view>& metrics) {
    print("health", to_string(pool.health()));
    const std::string all = to_prometheus(pool.stats(), "orders");
    for (std::size_t at = 0; at < all.size();) {
      const std::size_t end = all.find('\n', at);
      const std::string line = all.substr(at, end - at);
      at = end + 1;
      for (const std::string_view metric : metrics) {
        if (line.starts_with(metric)) print("metric", line);
      }
    }
    if (command_.empty()) return;
    const auto inspector = make_inspector(pool, feed_);
    const std::string look =
        command_ + " http://127.0.0.1:" + std::to_string(inspector->port()) + "/debug/pool/ui";
    if (std::system(look.c_str()) != 0) throw std::runtime_error("it failed: " + look);
  }

 private:
  const std::string command_;  // empty: nobody looks at the page
  EventFeed feed_;
  const tidegate::LogSink to_stderr_ = tidegate::stderr_sink();
};

void expect_error(const std::function<void()>& f) {
  try {
    f();
  } catch (const tidegate::Error& error) {
    return print("error", error.what());
  }
  throw std::runtime_error("an error was to be shown, and there is none");
}

// ---- the incidents -----------------------------------------------------------------------------

void make_a_report(Pool& pool) {
  const Lease lease = pool.acquire();
  lease->exec("select pg_sleep(3600)");
}
// The close cancels what they do.
void end_reports(Pool& pool) { pool.close({.drain = 0ms, .cancel = 10s}); }

// Two reports take both connections, and an order waits.
void exhausted(Stage& stage) {
  PoolConfig config = stage.config();
  config.slow_acquire = 100ms;
  Pool pool(config);
  const auto report = [&pool] {
    try {
      make_a_report(pool);
    } catch (const tidegate::QueryCanceled&) {  // by the close
    }
  };
  std::jthread first(report);
  std::jthread second(report);
  await([&] { return pool.stats().leased == 2; });
  expect_error([&] { pool.acquire(Deadline(250ms)); });
  stage.show(pool, {"db_client_connection_count", "db_client_connection_max",
                    "db_client_connection_timeouts_total"});
  end_reports(pool);
}

Lease forget_to_give_back(Pool& pool) { return pool.acquire(); }

// A lease is kept after its last statement.
void leak(Stage& stage) {
  PoolConfig config = stage.config();
  config.leak_threshold = 100ms;
  Pool pool(config);
  Lease kept = forget_to_give_back(pool);
  kept->exec("select 'the last statement of a lease that does not end'");
  await([&] { return pool.stats().leaks_suspected == 1; });
  stage.show(pool,
             {"db_client_connection_tidegate_leaks_suspected_total", "db_client_connection_count"});
  kept.release();
  await([&] { return pool.stats().leaks_returned == 1; });
}

// Needs: TIDEGATE_PG_PID, the postmaster of a server that nobody else uses.
void server_down(Stage& stage) {
  const char* const postmaster = std::getenv("TIDEGATE_PG_PID");
  if (postmaster == nullptr) throw std::runtime_error("TIDEGATE_PG_PID is not set");
  Pool pool(stage.config());
  pool.exec("select 1");
  ::kill(std::atoi(postmaster), SIGQUIT);
  // The statement that meets it first, and an acquire behind that.
  expect_error([&] { await([&] { return pool.exec("select 1").empty(); }); });
  expect_error([&] { pool.acquire(Deadline(250ms)); });
  stage.show(pool,
             {"db_client_connection_tidegate_create_errors_total", "db_client_connection_count"});
}

// Needs: PGUSER and PGPASSWORD that the server refuses.
void wrong_password(Stage& stage) {
  Pool pool(stage.config());
  expect_error([&] { pool.acquire(Deadline(kLongEnough)); });
  stage.show(pool, {"db_client_connection_tidegate_create_errors_total"});
}

void slow_statement(Stage& stage) {
  PoolConfig config = stage.config();
  config.slow_statement = 100ms;
  Pool pool(config);
  pool.exec("select pg_sleep(0.2), count(*) from generate_series(1, 1000)");
  stage.show(pool, {"db_client_connection_count"});
}

void on_config_reload(Pool& pool) { pool.close({.reason = "config reload"}); }

// Somebody closes the pool while requests still need it.
void closed_too_early(Stage& stage) {
  Pool pool(stage.config());
  const auto user = pool.attach("http server");
  Lease lease = pool.acquire();
  const std::jthread reload(on_config_reload, std::ref(pool));
  await([&] { return pool.closed(); });
  expect_error([&] { pool.acquire(); });
  await([&] { return pool.health().state == tidegate::Health::State::closing; });
  print("health", to_string(pool.health()));
  lease.release();
  await([&] { return pool.health().state == tidegate::Health::State::closed; });
  stage.show(pool, {"db_client_connection_tidegate_acquires_total{db_client_connection_pool_name="
                    "\"orders\",outcome=\"closed\""});
}

struct Incident {
  std::string_view name;
  void (*show)(Stage& stage);
};
constexpr Incident kIncidents[] = {
    {"exhausted", exhausted},           {"leak", leak},
    {"server-down", server_down},       {"wrong-password", wrong_password},
    {"slow-statement", slow_statement}, {"closed-too-early", closed_too_early}};

int usage() {
  std::fprintf(stderr, "usage: tidegate-incidents [--page COMMAND] NAME\nNAME:");
  for (const Incident& incident : kIncidents) std::fprintf(stderr, " %s", incident.name.data());
  std::fprintf(stderr, "\n");
  return 2;
}

}  // namespace
}  // namespace service

int main(int argc, char** argv) try {
  const std::vector<std::string_view> arguments(argv + 1, argv + argc);
  const bool page = arguments.size() == 3 && arguments[0] == "--page";
  if (!page && arguments.size() != 1) return service::usage();
  for (const service::Incident& incident : service::kIncidents) {
    if (incident.name != arguments.back()) continue;
    ::dup2(STDOUT_FILENO, STDERR_FILENO);
    service::Stage stage(page ? argv[2] : "");
    incident.show(stage);
    return 0;
  }
  return service::usage();
} catch (const std::exception& error) {
  std::fprintf(stderr, "incidents: %s\n", error.what());
  return 1;
}
