#include "order_api.hpp"

#include <charconv>
#include <cstdint>
#include <exception>
#include <optional>
#include <string_view>

namespace service {
namespace {

constexpr std::string_view kOrders = "/orders/";

template <class Number>
std::optional<Number> number_in(std::string_view text) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  if (read.ec != std::errc() || read.ptr != end) return {};
  return value;
}

std::string json(std::string_view name, std::string_view value) {
  return "{\"" + std::string(name) + "\":" + std::string(value) + "}\n";
}

HttpReply problem(int status, std::string_view what) {
  return {status, json("error", '"' + std::string(what) + '"')};
}

}  // namespace

HttpServer::Calls OrderApi::calls() {
  return {.admit =
              [this](const std::string& id) {
                if (const auto number = number_in<Ledger::Id>(id)) ledger_.admit(*number);
              },
          .handle = [this](const HttpRequest& request) { return handle(request); }};
}

HttpReply OrderApi::handle(const HttpRequest& request) noexcept {
  try {
    return route(request);
  } catch (const tidegate::PoolClosed& error) {
    tally_.closed_in_requests.add(error.what());
    return problem(503, "the database pool is closed");
  } catch (const std::exception& error) {
    tally_.request_failures.add(request.method + ' ' + request.path + ": " + error.what());
    return problem(503, "the database does not answer");  // why is for the operator, not for all
  }
}

HttpReply OrderApi::route(const HttpRequest& request) {
  const std::string_view path = request.path;
  if (request.method == "POST" && path == "/orders") return place(request);
  if (request.method != "GET") return problem(405, "not allowed");
  if (path.starts_with(kOrders)) return find(request.path.substr(kOrders.size()));
  if (path == "/healthz") return {200, json("pool", '"' + to_string(pool_.stats()) + '"')};
  if (path == "/readyz") {
    return ready_ ? HttpReply{200, json("ready", "true")} : HttpReply{503, json("ready", "false")};
  }
  return problem(404, "no such page");
}

HttpReply OrderApi::place(const HttpRequest& request) {
  const auto number_of = [&](const char* name) {
    const auto found = request.params.find(name);
    return found == request.params.end() ? std::nullopt : number_in<int>(found->second);
  };
  const auto product = number_of("product");
  const auto quantity = number_of("quantity");
  if (!product || *product < 1 || *product > Shop::kProducts) {
    return problem(400, "product: a number from 1 to 100");
  }
  if (!quantity || *quantity < 1) return problem(400, "quantity: a number from 1");
  const std::string id = std::to_string(shop_.place(*product, *quantity));
  return {201, json("id", id), std::string(kOrders) + id};
}

HttpReply OrderApi::find(const std::string& id) {
  const auto number = number_in<std::int64_t>(id);
  const auto order = number ? shop_.find(*number) : std::nullopt;
  if (!order) return problem(404, "no such order");
  return {200, "{\"id\":" + id + ",\"product\":" + std::to_string(order->product) +
                   ",\"quantity\":" + std::to_string(order->quantity) +
                   ",\"price_cents\":" + std::to_string(order->price_cents) +
                   ",\"settled\":" + (order->settled ? "true" : "false") + "}\n"};
}

}  // namespace service
