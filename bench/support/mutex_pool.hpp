// What people write: a mutex, a vector of idle resources, a condition variable.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

namespace bench {

template <class T>
class MutexPool {
 public:
  class Handle {
   public:
    Handle(MutexPool& pool, T&& resource) noexcept : pool_(&pool), resource_(std::move(resource)) {}
    Handle(Handle&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), resource_(std::move(other.resource_)) {}
    Handle& operator=(Handle&& other) noexcept {
      std::swap(pool_, other.pool_);
      std::swap(resource_, other.resource_);
      return *this;
    }
    ~Handle() {
      if (pool_ != nullptr) pool_->put_back(std::move(resource_));
    }
    T& operator*() noexcept { return resource_; }

   private:
    MutexPool* pool_;
    T resource_;
  };

  // With that many resources, each of which make() gives.
  template <class Make>
  MutexPool(std::uint32_t size, Make&& make) {
    idle_.reserve(size);
    for (std::uint32_t i = 0; i < size; ++i) idle_.push_back(make());
  }

  Handle acquire() {
    std::unique_lock lock(mutex_);
    some_idle_.wait(lock, [this] { return !idle_.empty(); });
    T resource = std::move(idle_.back());
    idle_.pop_back();
    return {*this, std::move(resource)};
  }

 private:
  void put_back(T&& resource) {
    {
      std::lock_guard lock(mutex_);
      idle_.push_back(std::move(resource));
    }
    some_idle_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable some_idle_;
  std::vector<T> idle_;
};

}  // namespace bench
