// How transact_retry() decides.
#pragma once

#include <chrono>

#include <tidegate/pq/errors.hpp>

namespace tidegate::pq {

// True when the server has rolled the transaction back because of others: it may succeed now.
bool is_retryable(const QueryError& error) noexcept;

// How long to wait after that many failures: doubles from 2 ms to 256 ms. `random` (uniform in [0,
// 1)) decides the upper half, so that transactions that met once do not meet again.
std::chrono::microseconds retry_delay(int failures, double random) noexcept;

}  // namespace tidegate::pq
