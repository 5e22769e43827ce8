// Stops: lets every actor cancel the acquire that another one is in.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>

namespace tidegate::stress {

class Stops {
 public:
  explicit Stops(std::uint32_t actors) : stops_(new Stop[actors]) {}

  // The token for the next acquire of `actor`.
  std::stop_token renew(std::uint32_t actor) {
    Stop& stop = stops_[actor];
    std::lock_guard lock(stop.mutex);
    stop.source = std::stop_source();
    return stop.source.get_token();
  }
  void request(std::uint32_t actor) {
    std::unique_lock lock(stops_[actor].mutex);
    std::stop_source source = stops_[actor].source;
    lock.unlock();
    source.request_stop();
  }

 private:
  struct Stop {
    std::mutex mutex;
    std::stop_source source;
  };
  std::unique_ptr<Stop[]> stops_;
};

}  // namespace tidegate::stress
