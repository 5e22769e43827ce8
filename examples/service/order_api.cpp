#include "order_api.hpp"

#include <charconv>
#include <cstdint>
#include <exception>
#include <optional>
#include <string_view>
#include <utility>

#include "inspector.hpp"

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

OrderApi::Wanted placement(const HttpRequest& request) {
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
  return Shop::Placement{*product, *quantity};
}

}  // namespace

void OrderApi::admit(const std::string& id) {
  if (const auto number = number_in<Ledger::Id>(id)) ledger_.admit(*number);
}

HttpReply OrderApi::handle(const HttpRequest& request) noexcept {
  try {
    Wanted wanted = read(request);
    if (const auto* order = std::get_if<Shop::Placement>(&wanted))
      return placed(shop_.place(*order));
    if (const auto* search = std::get_if<Search>(&wanted)) {
      return found(*search, shop_.find(search->id));
    }
    return std::get<HttpReply>(std::move(wanted));
  } catch (const std::exception& error) {
    return failed(request, error);
  }
}

HttpReply OrderApi::failed(const HttpRequest& request, const std::exception& error) noexcept {
  if (dynamic_cast<const tidegate::PoolClosed*>(&error) != nullptr) {
    tally_.closed_in_requests.add(error.what());
    return problem(503, "the database pool is closed");
  }
  tally_.request_failures.add(request.method + ' ' + request.path + ": " + error.what());
  return problem(503, "the database does not answer");  // why is for the operator, not for all
}

OrderApi::Wanted OrderApi::read(const HttpRequest& request) const {
  const std::string_view path = request.path;
  if (request.method == "POST" && path == "/orders") return placement(request);
  if (request.method != "GET") return problem(405, "not allowed");
  if (path.starts_with(kOrders)) {
    if (const auto id = number_in<std::int64_t>(path.substr(kOrders.size()))) return Search{*id};
    return problem(404, "no such order");
  }
  if (path == "/healthz") {
    return HttpReply{200, json("pool", '"' + to_string(pool_.stats()) + '"')};
  }
  if (path == "/readyz") return readiness();
  if (auto reply = look_inside(pool_, request.path)) return *std::move(reply);
  return problem(404, "no such page");
}

HttpReply OrderApi::readiness() const {
  const tidegate::Health health = pool_.health();
  const bool ready = ready_ && health.serves();
  return {ready ? 200 : 503, std::string("{\"ready\":") + (ready ? "true" : "false") +
                                 ",\"pool\":" + to_json(health) + "}\n"};
}

HttpReply OrderApi::placed(std::int64_t id) {
  const std::string text = std::to_string(id);
  return {201, json("id", text), std::string(kOrders) + text};
}

HttpReply OrderApi::found(Search search, const std::optional<Shop::Order>& order) {
  if (!order) return problem(404, "no such order");
  return {200, "{\"id\":" + std::to_string(search.id) +
                   ",\"product\":" + std::to_string(order->product) +
                   ",\"quantity\":" + std::to_string(order->quantity) +
                   ",\"price_cents\":" + std::to_string(order->price_cents) +
                   ",\"settled\":" + (order->settled ? "true" : "false") + "}\n"};
}

}  // namespace service
