// Ring: carries values from one thread to another, through a fixed number of places.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <optional>
#include <thread>
#include <utility>

namespace bench {

inline constexpr std::size_t kRingPlaces = 16;

// For one writer and one reader.
template <class T>
class Ring {
 public:
  void push(T&& value) {
    const std::size_t at = written_.load(std::memory_order_relaxed);
    while (at - read_.load(std::memory_order_acquire) == kRingPlaces) std::this_thread::yield();
    places_[at % kRingPlaces].value.emplace(std::move(value));
    written_.store(at + 1, std::memory_order_release);
  }
  // The writer's last call.
  void end() { ended_.store(true, std::memory_order_release); }
  // Nothing: it has ended, and is empty.
  std::optional<T> pop() {
    const std::size_t at = read_.load(std::memory_order_relaxed);
    while (written_.load(std::memory_order_acquire) == at) {
      if (ended_.load(std::memory_order_acquire) &&
          written_.load(std::memory_order_acquire) == at) {
        return std::nullopt;
      }
      std::this_thread::yield();
    }
    std::optional<T> value = std::move(places_[at % kRingPlaces].value);
    places_[at % kRingPlaces].value.reset();
    read_.store(at + 1, std::memory_order_release);
    return value;
  }

 private:
  struct alignas(64) Place {
    std::optional<T> value;
  };
  alignas(64) std::atomic<std::size_t> written_{0};
  alignas(64) std::atomic<std::size_t> read_{0};
  std::array<Place, kRingPlaces> places_;
  std::atomic<bool> ended_{false};
};

}  // namespace bench
