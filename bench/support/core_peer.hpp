// tidegate's core over a stub: no connection, no server.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>

#include <tidegate/core/resource_pool.hpp>

#include "support/peer.hpp"
#include "support/stub.hpp"

namespace bench {

class CorePeer {
  using Pool = tidegate::core::ResourcePool<Stub>;

 public:
  static constexpr const char* kName = "core";
  static std::optional<std::string> missing() { return std::nullopt; }

  using Handle = Pool::Acquired;

  explicit CorePeer(PoolShape shape)
      : pool_({.create = [](std::stop_token, tidegate::Deadline) -> tidegate::Expected<Stub> {
                 return Stub();
               },
               .max_size = shape.max_size,
               .gates = shape.gates}) {
    for (std::uint32_t i = 0; i < shape.made; ++i) {
      if (!pool_.create_resource()) throw std::runtime_error("a stub was not made");
    }
  }

  Handle acquire() {
    Handle acquired = pool_.acquire();
    if (!acquired) std::abort();  // as everybody must look; without a deadline it cannot fail
    return acquired;
  }
  static void touch(Handle& handle) noexcept { handle.lease->touch(); }

 private:
  Pool pool_;
};

}  // namespace bench
