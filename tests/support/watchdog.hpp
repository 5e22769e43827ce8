// Watchdog: a call that never returns ends its test with a word about where.
#pragma once

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include <support/rendezvous.hpp>

namespace tidegate::test {

// Gives up when its scope lasts longer than patience(): around a call that might never return.
class Watchdog {
 public:
  explicit Watchdog(std::string what)
      : thread_([what = std::move(what)](const std::stop_token& stop) {
          std::mutex mutex;
          std::condition_variable_any over;
          std::unique_lock lock(mutex);
          over.wait_for(lock, stop, patience(), [] { return false; });
          if (!stop.stop_requested()) give_up(what);
        }) {}

 private:
  std::jthread thread_;
};

}  // namespace tidegate::test
