// Jobs: background work, each on a thread of its own, round after round.
#pragma once

#include <tidegate/tidegate.hpp>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "shop.hpp"
#include "tally.hpp"

namespace service {

class Jobs {
 public:
  Jobs(tidegate::Pool& pool, Tally& tally);
  // Ends the rounds that are under way.
  ~Jobs() = default;
  Jobs(const Jobs&) = delete;
  Jobs& operator=(const Jobs&) = delete;

  // No further round begins.
  void request_stop() noexcept;
  // Waits for the rounds that are under way; false when the deadline or the stop came first.
  bool join_until(tidegate::Deadline deadline, const std::stop_token& stop = {});

 private:
  void every(std::chrono::milliseconds period, const char* name, std::function<void()> round);

  Tally& tally_;
  Shop shop_;
  std::mutex mutex_{};
  std::condition_variable_any ended_{};
  unsigned running_ = 0;  // mutex_
  std::vector<std::jthread> threads_{};
};

}  // namespace service
