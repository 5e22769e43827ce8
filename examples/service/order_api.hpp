// OrderApi: what the service answers to whom.
//
//   POST /orders?product=7&quantity=2   201, Location: /orders/N
//   GET  /orders/N                      200, or 404
//   GET  /healthz                       200: the process lives
//   GET  /readyz                        200; 503 while the pool cannot serve, and from the lame
//   duck
//                                       on: send requests elsewhere
//   GET  /metrics                       what Prometheus scrapes
//   GET  /debug/pool, /debug/pool.json  the pool for people, and for programs (inspector.hpp)
//
// All but the orders take no connection of the pool, so they answer while it is exhausted or
// closed.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <variant>

#include "http_server.hpp"
#include "ledger.hpp"
#include "shop.hpp"
#include "tally.hpp"

namespace service {

// All members from any thread.
class OrderApi {
 public:
  OrderApi(tidegate::Pool& pool, Ledger& ledger, Tally& tally)
      : pool_(pool), ledger_(ledger), tally_(tally), shop_(pool, tally) {}

  void set_ready(bool ready) noexcept { ready_ = ready; }

  // Reads of a request with this X-Request-Id have begun: it is to be answered.
  void admit(const std::string& id);
  // The reply, from a thread that may wait for the database.
  HttpReply handle(const HttpRequest& request) noexcept;

  // The parts of handle(), for coroutines: what a request asks of the database, or the reply to one
  // that asks nothing of it; and the replies to those that do.
  struct Search {
    std::int64_t id = 0;
  };
  using Wanted = std::variant<HttpReply, Shop::Placement, Search>;
  Wanted read(const HttpRequest& request) const;
  static HttpReply placed(std::int64_t id);
  static HttpReply found(Search search, const std::optional<Shop::Order>& order);
  // Counts what went wrong.
  HttpReply failed(const HttpRequest& request, const std::exception& error) noexcept;

 private:
  HttpReply readiness() const;

  tidegate::Pool& pool_;
  Ledger& ledger_;
  Tally& tally_;
  Shop shop_;
  std::atomic<bool> ready_{true};
};

}  // namespace service
