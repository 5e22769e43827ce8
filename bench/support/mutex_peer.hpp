// What people write: a mutex, a vector of idle resources, a condition variable.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/peer.hpp"
#include "support/stub.hpp"

namespace bench {

class MutexPeer {
 public:
  static constexpr const char* kName = "mutex_vector";
  static std::optional<std::string> missing() { return std::nullopt; }

  class Handle {
   public:
    Handle(MutexPeer& pool, Stub&& stub) noexcept : pool_(&pool), stub_(std::move(stub)) {}
    Handle(Handle&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), stub_(std::move(other.stub_)) {}
    Handle& operator=(Handle&& other) noexcept {
      std::swap(pool_, other.pool_);
      std::swap(stub_, other.stub_);
      return *this;
    }
    ~Handle() {
      if (pool_ != nullptr) pool_->put_back(std::move(stub_));
    }
    Stub& operator*() noexcept { return stub_; }

   private:
    MutexPeer* pool_;
    Stub stub_;
  };

  explicit MutexPeer(PoolShape shape) {
    idle_.reserve(shape.made);
    for (std::uint32_t i = 0; i < shape.made; ++i) idle_.emplace_back();
  }

  Handle acquire() {
    std::unique_lock lock(mutex_);
    idle_or_closed_.wait(lock, [this] { return !idle_.empty(); });
    Stub stub = std::move(idle_.back());
    idle_.pop_back();
    return {*this, std::move(stub)};
  }
  static void touch(Handle& handle) noexcept { (*handle).touch(); }

 private:
  void put_back(Stub&& stub) {
    {
      std::lock_guard lock(mutex_);
      idle_.push_back(std::move(stub));
    }
    idle_or_closed_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable idle_or_closed_;
  std::vector<Stub> idle_;
};

}  // namespace bench
