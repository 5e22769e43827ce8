#include "jobs.hpp"

#include <pthread.h>

#include <exception>
#include <string>
#include <utility>

#include "pause.hpp"

namespace service {

using namespace std::chrono_literals;

Jobs::Jobs(tidegate::Pool& pool, Tally& tally) : tally_(tally), shop_(pool, tally) {
  every(100ms, "job-settle", [this] { shop_.settle(); });
  every(150ms, "job-rank", [this] { shop_.rank(); });
}

void Jobs::every(std::chrono::milliseconds period, const char* name, std::function<void()> round) {
  ++running_;  // no other thread yet looks at it, or changes it before request_stop()
  threads_.emplace_back([this, period, name, round = std::move(round)](std::stop_token stop) {
    ::pthread_setname_np(::pthread_self(), name);
    for (; !stop.stop_requested(); pause(stop, period)) {
      try {
        round();
      } catch (const tidegate::PoolClosed& error) {
        tally_.closed_in_jobs.add(error.what());
      } catch (const std::exception& error) {
        tally_.failed_jobs.add(std::string(name) + ": " + error.what());
      }
    }
    std::lock_guard lock(mutex_);
    --running_;
    ended_.notify_all();
  });
}

void Jobs::request_stop() noexcept {
  for (std::jthread& thread : threads_) thread.request_stop();
}

bool Jobs::join_until(tidegate::Deadline deadline, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  return ended_.wait_until(lock, stop, deadline.at(), [this] { return running_ == 0; });
}

}  // namespace service
