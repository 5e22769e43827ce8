// A ping that its caller can stop.
#pragma once

#include <stop_token>

#include <tidegate/base/deadline.hpp>
#include <tidegate/pq/connection.hpp>

namespace tidegate::pq {

// Waits for the answer to one empty round trip, until the deadline or the stop. Pending: the answer
// is still to come, and ping_step() goes on waiting for it.
PingResult ping(Connection& connection, const std::stop_token& stop, Deadline deadline) noexcept;

}  // namespace tidegate::pq
