// tidegate::Pool with its default configuration, on real connections.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include <tidegate/tidegate.hpp>

#include "support/peer.hpp"

namespace bench {

class PoolPeer {
 public:
  static constexpr const char* kName = "pool";
  // Asks the server once: where there is none, an answer takes seconds.
  static std::optional<std::string> missing() {
    static const std::optional<std::string> why = ask_server();
    return why;
  }

  using Handle = tidegate::Lease;

  static constexpr bool kTakesConninfo = true;

  explicit PoolPeer(const PoolShape& shape)
      : pool_("pool_max_conns=" + std::to_string(shape.max_size) + ' ' + shape.conninfo) {
    // Held together, so that each of them is a connection of its own.
    std::vector<Handle> held;
    held.reserve(shape.made);
    for (std::uint32_t i = 0; i < shape.made; ++i) held.push_back(acquire());
  }

  Handle acquire() { return pool_.acquire(); }
  static void touch(Handle& handle) noexcept { benchmark::DoNotOptimize(&*handle); }
  static pg_conn* native(Handle& handle) noexcept { return handle->native_handle(); }
  int select(int value) { return pool_.query_value<int>("select $1::int4", value); }

 private:
  static std::optional<std::string> ask_server() {
    try {
      tidegate::Pool pool{"pool_max_conns=1"};
      pool.acquire(std::chrono::seconds(5));
      return std::nullopt;
    } catch (const tidegate::Error& error) {
      return std::string("needs the server that PGHOST, PGPORT, ... name: ") + error.what();
    }
  }

  tidegate::Pool pool_;
};

}  // namespace bench
