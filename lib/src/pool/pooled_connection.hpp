// What a slot of a Pool holds, and the core that holds it.
#pragma once

#include <tidegate/core/resource_core.hpp>
#include <tidegate/pool/lease.hpp>
#include <tidegate/pq/connection.hpp>
#include <tidegate/pq/file_descriptor.hpp>

namespace tidegate::detail {

struct PooledConnection {
  Connection connection{};
  // A duplicate of its socket. It shows when the server has ended the session after ours is closed,
  // and its number cannot be reused behind our back, whatever libpq closes.
  pq::FileDescriptor duplicate{};
};

}  // namespace tidegate::detail

namespace tidegate::core {

extern template class ResourceCore<tidegate::detail::PooledConnection, StdSync>;

}  // namespace tidegate::core
