// FakeResources: makes and ends things that do nothing, and keeps the books of it (I5).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <support/rendezvous.hpp>
#include <tidegate/core/resource_pool.hpp>

namespace tidegate::test {

// Outlives the pools that use it, and the leases that outlive those.
class FakeResources {
 public:
  // Move-only. Exactly one of an instance's moves is alive; that one's end is counted.
  class Thing {
   public:
    Thing(Thing&& other) noexcept
        : home_(std::exchange(other.home_, nullptr)), id_(other.id_), uses(other.uses) {}
    Thing& operator=(Thing&&) = delete;
    ~Thing() {
      if (home_ != nullptr) home_->ended(id_);
    }
    int id() const { return id_; }

   private:
    friend class FakeResources;
    Thing(FakeResources* home, int id) : home_(home), id_(id) {}
    FakeResources* home_;
    int id_;

   public:
    int uses = 0;  // plain: TSan sees two users at once
    bool broken = false;
  };
  using Pool = core::ResourcePool<Thing>;
  using Lease = Pool::Lease;

  ~FakeResources() {
    EXPECT_EQ(alive(), 0);
    for (const int count : ends_) EXPECT_EQ(count, 1);
  }

  // A pool of at most `max_size` that recovers quickly from failures.
  core::ResourcePoolConfig<Thing> config(std::uint32_t max_size) {
    return {.create = [this](const std::stop_token& stop, Deadline) { return create(stop); },
            .destroy = [this](Thing&& thing) { destroyed(std::move(thing)); },
            .is_reusable = [](Thing& thing) { return !thing.broken; },
            .max_size = max_size,
            .backoff_min = std::chrono::milliseconds(1),
            .backoff_max = std::chrono::milliseconds(2)};
  }

  // From now on called at each creation, before it; the error that it returns, or what it throws,
  // takes the place of a Thing. None: every creation succeeds.
  using BeforeCreate = std::function<std::optional<ErrorValue>(const std::stop_token&)>;
  void before_create(BeforeCreate call) {
    std::lock_guard lock(mutex_);
    before_create_ = std::move(call);
  }

  int created() const {
    std::lock_guard lock(mutex_);
    return static_cast<int>(ends_.size());
  }
  int alive() const { return alive_; }
  int most_alive() const { return most_alive_; }
  // On which thread config.destroy was called, for each that was.
  std::vector<std::thread::id> destroyers() const {
    std::lock_guard lock(mutex_);
    return destroyers_;
  }

 private:
  Expected<Thing> create(const std::stop_token& stop) {
    BeforeCreate before;
    {
      std::lock_guard lock(mutex_);
      before = before_create_;
    }
    if (before) {
      if (auto error = before(stop)) return *std::move(error);
    }
    const int now = ++alive_;
    for (int most = most_alive_; most < now && !most_alive_.compare_exchange_weak(most, now);) {
    }
    std::lock_guard lock(mutex_);
    ends_.push_back(0);
    return Thing(this, static_cast<int>(ends_.size()) - 1);
  }
  void destroyed(Thing&& thing) {
    const Thing gone = std::move(thing);
    std::lock_guard lock(mutex_);
    destroyers_.push_back(std::this_thread::get_id());
  }
  void ended(int id) {
    --alive_;
    std::lock_guard lock(mutex_);
    ++ends_[static_cast<std::size_t>(id)];
  }

  std::atomic<int> alive_{0};
  std::atomic<int> most_alive_{0};
  mutable std::recursive_mutex mutex_;
  BeforeCreate before_create_;
  std::vector<int> ends_;  // of each thing ever made: how often it ended
  std::vector<std::thread::id> destroyers_;
};

inline ErrorValue error_value(Errc code, const char* text = "as the test wants it") {
  return ErrorValue::of(Error(code, text));
}

}  // namespace tidegate::test
