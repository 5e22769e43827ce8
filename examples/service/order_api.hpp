// OrderApi: what the service answers to whom.
//
//   POST /orders?product=7&quantity=2   201, Location: /orders/N
//   GET  /orders/N                      200, or 404
//   GET  /healthz                       200: the process lives
//   GET  /readyz                        200; 503 from the lame duck on: send requests elsewhere
#pragma once

#include <atomic>
#include <string>

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

  HttpServer::Calls calls();
  void set_ready(bool ready) noexcept { ready_ = ready; }

 private:
  HttpReply handle(const HttpRequest& request) noexcept;
  HttpReply route(const HttpRequest& request);
  HttpReply place(const HttpRequest& request);
  HttpReply find(const std::string& id);

  tidegate::Pool& pool_;
  Ledger& ledger_;
  Tally& tally_;
  Shop shop_;
  std::atomic<bool> ready_{true};
};

}  // namespace service
