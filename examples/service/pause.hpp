// pause: some time between two rounds, which a stop cuts short.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>

namespace service {

inline void pause(const std::stop_token& stop, std::chrono::milliseconds duration) {
  std::mutex mutex;
  std::condition_variable_any ticker;
  std::unique_lock lock(mutex);
  ticker.wait_for(lock, stop, duration, [] { return false; });
}

}  // namespace service
