// Shop: a small order schema, and what requests and background jobs do with it.
#pragma once

#include <tidegate/tidegate.hpp>

#include <cstdint>
#include <optional>
#include <stop_token>

#include "tally.hpp"

namespace service {

// Makes the schema tidegate_demo afresh. Throws tidegate::Error.
void create_schema(tidegate::Pool& pool, tidegate::Deadline deadline, const std::stop_token& stop);
void drop_schema(tidegate::Pool& pool);
std::uint64_t count_orders(tidegate::Pool& pool);

// All members from any thread. Throw tidegate::Error.
class Shop {
 public:
  Shop(tidegate::Pool& pool, Tally& tally) : pool_(pool), tally_(tally) {}

  struct Order {
    int product = 0;
    int quantity = 0;
    std::int64_t price_cents = 0;  // of all pieces
    bool settled = false;
  };

  struct Placement {
    int product = 1;   // 1 to kProducts
    int quantity = 1;  // positive
  };

  // The new order's id.
  std::int64_t place(Placement order);
  std::optional<Order> find(std::int64_t id);

  // Books the orders that are new since the last time.
  void settle();
  // Counts what was ordered of late.
  void rank();

  static constexpr int kProducts = 100;

  // The statements of place() and find(), and what the latter gives, for coroutines.
  static const char* const kPlace;  // product, quantity
  static const char* const kFind;   // id
  static std::optional<Order> order_in(const tidegate::Rows& rows);

 private:
  tidegate::Lease lease(tidegate::Location where = tidegate::Location::current());

  tidegate::Pool& pool_;
  Tally& tally_;
};

}  // namespace service
