// Service: the parts of the order service, started in the order in which they need each other.
#pragma once

#include <tidegate/tidegate.hpp>

#include <optional>
#include <string>

#include "http_server.hpp"
#include "jobs.hpp"
#include "ledger.hpp"
#include "load.hpp"
#include "order_api.hpp"
#include "tally.hpp"

namespace service {

struct Service {
  // `threads` handle requests, and as many clients send them; one more is for the probes.
  Service(tidegate::Pool& the_pool, unsigned threads)
      : pool(the_pool),
        http_user(the_pool.attach("http-server")),
        job_user(the_pool.attach("jobs")),
        http(threads + 1, api.calls()),
        load(threads, http, ledger, tally) {}

  tidegate::Pool& pool;
  Tally tally{};
  Ledger ledger{};
  // Who uses the pool.
  std::optional<tidegate::UserToken> http_user;
  std::optional<tidegate::UserToken> job_user;

  OrderApi api{pool, ledger, tally};
  HttpServer http;
  Jobs jobs{pool, tally};
  LoadGenerator load;
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
