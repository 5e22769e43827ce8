// Factory: makes things, in the weather that a scenario chooses.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <stop_token>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/expected.hpp>

#include "support/random.hpp"
#include "support/thing.hpp"

namespace tidegate::stress {

// Chances are per 100 makings.
struct Weather {
  std::uint32_t slow = 0;  // takes up to `slowest`
  std::chrono::microseconds slowest{2000};
  std::uint32_t deaf = 0;  // of the slow ones: do not hear the stop
  std::uint32_t unavailable = 0;
  std::uint32_t throwing = 0;
  std::uint32_t rejected = 0;  // and so is every making in the following `rejected_for`
  std::chrono::microseconds rejected_for{1000};
};

inline constexpr Weather kFair{};
inline constexpr Weather kStormy{
    .slow = 30, .deaf = 20, .unavailable = 15, .throwing = 5, .rejected = 5};

// What a ResourcePool's `create` and `destroy` call, from any of its threads at once.
class Factory {
 public:
  Factory(Ledger& ledger, const Weather& weather, std::uint64_t seed)
      : ledger_(ledger), weather_(weather), seed_(seed) {}

  Expected<Thing> make(const std::stop_token& stop, Deadline deadline);

 private:
  bool take_time(Random& random, const std::stop_token& stop, Deadline deadline);
  bool is_rejecting(Random& random);
  Expected<Thing> fail(Errc why);

  Ledger& ledger_;
  const Weather weather_;
  const std::uint64_t seed_;
  std::atomic<std::uint64_t> makings_{0};
  std::mutex mutex_;
  std::chrono::steady_clock::time_point rejecting_until_{};  // guarded by mutex_
};

}  // namespace tidegate::stress
