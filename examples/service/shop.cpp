#include "shop.hpp"

#include <chrono>

namespace service {

using tidegate::Lease;
using tidegate::Transaction;

void create_schema(tidegate::Pool& pool, tidegate::Deadline deadline, const std::stop_token& stop) {
  Lease lease = pool.acquire(deadline, stop);
  lease->exec("set client_min_messages = warning");
  lease->exec_script(
      "drop schema if exists tidegate_demo cascade;"
      "create schema tidegate_demo;"
      "create table tidegate_demo.product ("
      "  id int primary key, price_cents int not null, ordered_of_late bigint not null default 0);"
      "insert into tidegate_demo.product select i, 100 * i from generate_series(1, 100) i;"
      "create table tidegate_demo.purchase ("
      "  id bigint generated always as identity primary key,"
      "  product int not null references tidegate_demo.product,"
      "  quantity int not null check (quantity > 0),"
      "  placed timestamptz not null default now(),"
      "  settled timestamptz);"
      "create index on tidegate_demo.purchase (id) where settled is null;"
      "create table tidegate_demo.account (revenue_cents bigint not null);"
      "insert into tidegate_demo.account values (0);");
  lease.discard();  // it has a setting that nobody else should see
}

void drop_schema(tidegate::Pool& pool) {
  Lease lease = pool.acquire();
  lease->exec("set client_min_messages = warning");
  lease->exec("drop schema tidegate_demo cascade");
}

std::uint64_t count_orders(tidegate::Pool& pool) {
  return static_cast<std::uint64_t>(
      pool.query_value<std::int64_t>("select count(*) from tidegate_demo.purchase"));
}

Lease Shop::lease(tidegate::Location where) {
  const auto asked = std::chrono::steady_clock::now();
  Lease lease = pool_.acquire(where);
  tally_.waits.add(std::chrono::steady_clock::now() - asked);
  return lease;
}

const char* const Shop::kPlace =
    "insert into tidegate_demo.purchase (product, quantity) values ($1, $2) returning id";
const char* const Shop::kFind =
    "select product, quantity, quantity * price_cents::int8, settled is not null"
    " from tidegate_demo.purchase join tidegate_demo.product on product.id = product"
    " where purchase.id = $1";

std::int64_t Shop::place(Placement order) {
  const auto id = lease()->query_value<std::int64_t>(kPlace, order.product, order.quantity);
  ++tally_.queries;
  return id;
}

std::optional<Shop::Order> Shop::find(std::int64_t id) {
  const tidegate::Rows rows = lease()->exec(kFind, id);
  ++tally_.queries;
  return order_in(rows);
}

std::optional<Shop::Order> Shop::order_in(const tidegate::Rows& rows) {
  for (auto [product, quantity, price, settled] : rows.as<int, int, std::int64_t, bool>()) {
    return Order{product, quantity, price, settled};
  }
  return {};
}

void Shop::settle() {
  lease()->transact([this](Transaction& t) {
    const auto cents = t.query_value<std::int64_t>(
        "with due as (update tidegate_demo.purchase set settled = now()"
        "   where id in (select id from tidegate_demo.purchase where settled is null"
        "                order by id limit 2000 for update skip locked)"
        "   returning product, quantity)"
        " select coalesce(sum(quantity * price_cents::int8), 0)::int8"
        " from due join tidegate_demo.product on product.id = due.product");
    t.exec("update tidegate_demo.account set revenue_cents = revenue_cents + $1", cents);
    tally_.queries += 2;
  });
}

void Shop::rank() {
  lease()->transact([this](Transaction& t) {
    t.exec("update tidegate_demo.product set ordered_of_late = 0 where ordered_of_late > 0");
    t.exec(
        "update tidegate_demo.product set ordered_of_late = n"
        " from (select product, count(*) as n"
        "       from (select product from tidegate_demo.purchase order by id desc limit 1000) as "
        "recent"
        "       group by product) as counted"
        " where product.id = counted.product");
    tally_.queries += 2;
  });
}

}  // namespace service
