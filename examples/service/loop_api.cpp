#include "loop_api.hpp"

#include <tidegate/asio.hpp>

#include <chrono>
#include <exception>
#include <utility>
#include <variant>

namespace service {
namespace {

namespace pg = tidegate::asio;
using boost::asio::awaitable;

awaitable<pg::Lease> lease_of(tidegate::Pool& pool, Tally& tally) {
  const auto asked = std::chrono::steady_clock::now();
  pg::Lease lease = co_await pg::acquire(pool);
  tally.waits.add(std::chrono::steady_clock::now() - asked);
  co_return lease;
}

awaitable<HttpReply> place(tidegate::Pool& pool, Tally& tally, Shop::Placement order) {
  pg::Lease lease = co_await lease_of(pool, tally);
  const auto id =
      co_await lease.query_value<std::int64_t>(Shop::kPlace, order.product, order.quantity);
  ++tally.queries;
  co_return OrderApi::placed(id);
}

awaitable<HttpReply> find(tidegate::Pool& pool, Tally& tally, OrderApi::Search search) {
  pg::Lease lease = co_await lease_of(pool, tally);
  const tidegate::Rows rows = co_await lease.exec(Shop::kFind, search.id);
  ++tally.queries;
  co_return OrderApi::found(search, Shop::order_in(rows));
}

awaitable<HttpReply> handle(OrderApi& api, tidegate::Pool& pool, Tally& tally,
                            const HttpRequest& request) {
  try {
    OrderApi::Wanted wanted = api.read(request);
    if (const auto* order = std::get_if<Shop::Placement>(&wanted)) {
      co_return co_await place(pool, tally, *order);
    }
    if (const auto* search = std::get_if<OrderApi::Search>(&wanted)) {
      co_return co_await find(pool, tally, *search);
    }
    co_return std::get<HttpReply>(std::move(wanted));
  } catch (const std::exception& error) {
    co_return api.failed(request, error);
  }
}

}  // namespace

LoopCalls calls_of_loop(OrderApi& api, tidegate::Pool& pool, Tally& tally) {
  return {.admit = [&api](const std::string& id) { api.admit(id); },
          .handle = [&api, &pool, &tally](
                        const HttpRequest& request) { return handle(api, pool, tally, request); }};
}

}  // namespace service
