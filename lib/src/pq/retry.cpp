#include <algorithm>
#include <chrono>
#include <random>

#include <tidegate/base/error.hpp>
#include <tidegate/pq/transaction.hpp>

#include "base/fiber.hpp"
#include "pq/retry.hpp"
#include "pq/wait.hpp"

namespace tidegate::pq {

bool is_retryable(const QueryError& error) noexcept {
  // A lost connection may have committed, whatever the server's last words were.
  return error.code() == Errc::query &&
         (error.sqlstate() == "40001" || error.sqlstate() == "40P01");
}

std::chrono::microseconds retry_delay(int failures, double random) noexcept {
  using namespace std::chrono_literals;
  constexpr std::chrono::microseconds kFirst = 2ms;
  constexpr int kDoublings = 7;  // 256 ms at most
  const auto most = kFirst * (1 << std::clamp(failures - 1, 0, kDoublings));
  const auto random_half = static_cast<double>(most.count()) / 2 * random;
  return most / 2 + std::chrono::microseconds(static_cast<std::int64_t>(random_half));
}

Retries::Retries(int attempts, Deadline by, Location where) : left_(attempts), by_(by) {
  if (attempts < 1) {
    throw UsageError("transact_retry: " + std::to_string(attempts) +
                         " attempts are asked for, at least 1 is needed",
                     where);
  }
}

bool Retries::another(const QueryError& error) {
  if (!is_retryable(error) || --left_ < 1) return false;
  thread_local std::minstd_rand random{std::random_device{}()};
  const double draw = std::uniform_real_distribution<double>()(random);
  const Deadline moment(retry_delay(++failed_, draw));
  if (moment >= by_) return false;
  short seen = 0;
  wait_for(-1, 0, detail::Fiber::interrupt_only(), moment, seen);
  return true;
}

}  // namespace tidegate::pq
