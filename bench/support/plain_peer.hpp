// The plain form of tidegate's idea: one state word, one lock-free queue, no docks.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <concurrentqueue.h>

#include "support/peer.hpp"
#include "support/stub.hpp"

namespace bench {

// Closed flag, waiting flag and lease counter share the word. A release enqueues and then leaves; a
// waiter sets `waiting` and then looks again: both change the same word, so one sees the other.
class PlainPool {
 public:
  explicit PlainPool(std::uint32_t size) : idle_(size), stubs_(new Stub[size]) {
    for (std::uint32_t i = 0; i < size; ++i) idle_.enqueue(i);
  }
  // Needs: every release has returned.
  ~PlainPool() { close(); }

  // Nothing: the pool is closed.
  std::optional<std::uint32_t> acquire() {
    if ((word_.fetch_add(1, std::memory_order_acquire) & kClosed) != 0) {
      leave();
      return std::nullopt;
    }
    std::uint32_t index = 0;
    if (idle_.try_dequeue(index)) return index;
    return wait();
  }

  void release(std::uint32_t index) {
    idle_.enqueue(index);
    leave();
  }

  // Fences off, tells the waiters, and waits for the leases.
  void close() {
    word_.fetch_or(kClosed, std::memory_order_acq_rel);
    std::unique_lock lock(mutex_);
    changed_.notify_all();
    changed_.wait(lock, [this] { return (word_.load(std::memory_order_acquire) & kLeases) == 0; });
  }

  Stub& operator[](std::uint32_t index) noexcept { return stubs_[index]; }

 private:
  static constexpr std::uint64_t kClosed = std::uint64_t{1} << 63;
  static constexpr std::uint64_t kWaiting = std::uint64_t{1} << 62;
  static constexpr std::uint64_t kLeases = kWaiting - 1;

  void leave() {
    const std::uint64_t word = word_.fetch_sub(1, std::memory_order_acq_rel);
    if ((word & (kClosed | kWaiting)) == 0) return;
    std::lock_guard lock(mutex_);
    (word & kClosed) != 0 ? changed_.notify_all() : changed_.notify_one();
  }

  std::optional<std::uint32_t> wait() {
    std::unique_lock lock(mutex_);
    ++waiters_;
    std::optional<std::uint32_t> found;
    for (;;) {
      const bool closed = (word_.fetch_or(kWaiting, std::memory_order_acq_rel) & kClosed) != 0;
      std::uint32_t index = 0;
      if (!closed && idle_.try_dequeue(index)) found = index;
      if (closed || found) break;
      // try_dequeue may say "empty" while an element is there, so no sleep is for ever.
      changed_.wait_for(lock, std::chrono::milliseconds(1));
    }
    if (--waiters_ == 0) word_.fetch_and(~kWaiting, std::memory_order_acq_rel);
    lock.unlock();
    if (!found) leave();
    return found;
  }

  alignas(64) std::atomic<std::uint64_t> word_{0};
  alignas(64) moodycamel::ConcurrentQueue<std::uint32_t> idle_;
  std::unique_ptr<Stub[]> stubs_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint32_t waiters_ = 0;
};

class PlainPeer {
 public:
  static constexpr const char* kName = "plain";
  static std::optional<std::string> missing() { return std::nullopt; }

  class Handle {
   public:
    Handle(PlainPool& pool, std::uint32_t index) noexcept : pool_(&pool), index_(index) {}
    Handle(Handle&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), index_(other.index_) {}
    Handle& operator=(Handle&& other) noexcept {
      std::swap(pool_, other.pool_);
      std::swap(index_, other.index_);
      return *this;
    }
    ~Handle() {
      if (pool_ != nullptr) pool_->release(index_);
    }
    Stub& operator*() noexcept { return (*pool_)[index_]; }

   private:
    PlainPool* pool_;
    std::uint32_t index_;
  };

  explicit PlainPeer(PoolShape shape) : pool_(shape.made) {}

  Handle acquire() { return {pool_, pool_.acquire().value()}; }
  static void touch(Handle& handle) noexcept { (*handle).touch(); }

 private:
  PlainPool pool_;
};

}  // namespace bench
