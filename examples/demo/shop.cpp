#include "shop.hpp"

#include <chrono>
#include <random>

namespace demo {

using tidegate::Errc;
using tidegate::Lease;

void create_schema(tidegate::Pool& pool, tidegate::Deadline deadline, const std::stop_token& stop) {
  Lease lease = pool.acquire(deadline, stop);
  lease->exec("set client_min_messages = warning");
  lease->exec_script(
      "drop schema if exists tidegate_demo cascade;"
      "create schema tidegate_demo;"
      "create table tidegate_demo.product (id int primary key, price_cents int not null);"
      "insert into tidegate_demo.product select i, 100 * i from generate_series(1, 100) i;"
      "create table tidegate_demo.purchase ("
      "  id bigint generated always as identity primary key,"
      "  product int not null references tidegate_demo.product,"
      "  quantity int not null check (quantity > 0),"
      "  placed timestamptz not null default now());");
  lease.discard();  // it has a setting that nobody else should see
}

void drop_schema(tidegate::Pool& pool) {
  Lease lease = pool.acquire();
  lease->exec("set client_min_messages = warning");
  lease->exec("drop schema tidegate_demo cascade");
}

void work(tidegate::Pool& pool, unsigned seed, Tally& tally) {
  std::minstd_rand random(seed);
  std::uniform_int_distribution<int> any_product(1, 100);
  while (true) {
    const auto asked = std::chrono::steady_clock::now();
    auto lease = pool.try_acquire(std::chrono::seconds(30));
    if (!lease) {
      if (lease.error().code() == Errc::closed) return;  // the end of the demo, not a failure
      tally.failed.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    tally.waits.add(std::chrono::steady_clock::now() - asked);
    try {
      const int product = any_product(random);
      const auto id = (*lease)->query_value<std::int64_t>(
          "insert into tidegate_demo.purchase (product, quantity) values ($1, $2) returning id",
          product, 1 + product % 3);
      tally.acknowledged.fetch_add(1, std::memory_order_relaxed);
      tally.queries.fetch_add(1, std::memory_order_relaxed);

      (*lease)->query_value<std::int64_t>(
          "select quantity * price_cents::int8 from tidegate_demo.purchase"
          " join tidegate_demo.product on product.id = product where purchase.id = $1",
          id);
      tally.queries.fetch_add(1, std::memory_order_relaxed);
    } catch (const tidegate::Error&) {
      tally.failed.fetch_add(1, std::memory_order_relaxed);
    }
  }
}

std::uint64_t count_lost(tidegate::Pool& pool, const Tally& tally) {
  const auto found = pool.query_value<std::int64_t>("select count(*) from tidegate_demo.purchase");
  const std::uint64_t acknowledged = tally.acknowledged.load();
  const auto stored = static_cast<std::uint64_t>(found);
  return acknowledged > stored ? acknowledged - stored : 0;
}

}  // namespace demo
