// What transact_retry() decides by.
#pragma once

#include <chrono>

#include <tidegate/pq/errors.hpp>

namespace tidegate::pq {

// The server has rolled the transaction back because of others; the same one may succeed now.
bool is_retryable(const QueryError& error) noexcept;

// How long to wait after that many failures: doubles from 2 ms to 256 ms, and the upper half of it
// is up to `random` (uniform in [0, 1)), so that those who met once do not meet again.
std::chrono::microseconds retry_delay(int failures, double random) noexcept;

}  // namespace tidegate::pq
