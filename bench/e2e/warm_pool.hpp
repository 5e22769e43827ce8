// A pool whose connections are all open, with the statement of the select and batch rows prepared.
#pragma once

#include <tidegate/tidegate.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace bench {

// `extra`: more words for the connection string, as "host=127.0.0.1".
inline std::unique_ptr<tidegate::Pool> warm_pool(
    std::uint32_t connections, const std::string& extra = {},
    std::shared_ptr<tidegate::QueryObserver> queries = {}) {
  auto config =
      tidegate::PoolConfig::parse("pool_max_conns=" + std::to_string(connections) + ' ' + extra);
  config.queries = std::move(queries);
  auto pool = std::make_unique<tidegate::Pool>(std::move(config));
  // Held together, so that each of them is a connection of its own.
  std::vector<tidegate::Lease> leases;
  leases.reserve(connections);
  for (std::uint32_t i = 0; i < connections; ++i) {
    leases.push_back(pool->acquire());
    leases.back()->query_value<int>("select $1::int4", 0);
  }
  return pool;
}

}  // namespace bench
