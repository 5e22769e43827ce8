// Service: the parts of the order service, started in the order in which they need each other.
#pragma once

#include <tidegate/tidegate.hpp>

#include <memory>
#include <optional>
#include <string>

#include "jobs.hpp"
#include "ledger.hpp"
#include "load.hpp"
#include "loop_api.hpp"
#include "order_api.hpp"
#include "tally.hpp"
#include "threaded_server.hpp"

namespace service {

struct Service {
  // As many clients send requests as `threads` says. As many threads handle them, and one more for
  // the probes; or coroutines, on one thread.
  enum class By { threads, coroutines };
  Service(tidegate::Pool& the_pool, unsigned threads, By by)
      : pool(the_pool),
        http_user(the_pool.attach("http-server")),
        job_user(the_pool.attach("jobs")),
        http(by == By::threads ? make_threaded_server(threads + 1, calls_of_threads())
                               : make_loop_server(calls_of_loop(api, pool, tally))),
        load(threads, *http, ledger, tally) {}

  tidegate::Pool& pool;
  Tally tally{};
  Ledger ledger{};
  // Who uses the pool.
  std::optional<tidegate::UserToken> http_user;
  std::optional<tidegate::UserToken> job_user;

  OrderApi api{pool, ledger, tally};
  std::unique_ptr<HttpServer> http;
  Jobs jobs{pool, tally};
  LoadGenerator load;

 private:
  HttpCalls calls_of_threads() {
    return {.admit = [this](const std::string& id) { api.admit(id); },
            .handle = [this](const HttpRequest& request) { return api.handle(request); }};
  }
};

// How the service ends. Both leave the pool closed and nobody at work but the clients.
struct Ending {
  bool as_promised = false;
  tidegate::CloseReport close{};
};

// Each part while what it needs is still there, the pool last; prints the timeline and the report.
// `signaled`: one of the signals is waiting to be taken.
Ending stop_in_order(Service& service, tidegate::SignalWaiter& signals, bool signaled,
                     const std::string& reason);
// The pool first, and what comes of that.
Ending stop_naively(Service& service, const std::string& reason);

// Without an HTTP server: three leases that do not come back, and what close() does about them.
// Prints the report; true when it is as promised.
bool show_stuck(tidegate::PoolConfig config, const std::stop_token& hurry);

}  // namespace service
