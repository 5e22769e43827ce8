// SOCI 4's connection_pool, its sessions left unopened: leasing needs no connection.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include <benchmark/benchmark.h>
#include <soci/connection-pool.h>

#include "support/peer.hpp"

namespace bench {

// lease() and give_back() are the cheapest way in; session(pool) would add to them. Its header
// would also want Boost.
class SociPeer {
 public:
  static constexpr const char* kName = "soci";
  static std::optional<std::string> missing() { return std::nullopt; }

  class Handle {
   public:
    explicit Handle(soci::connection_pool& pool) : pool_(&pool), position_(pool.lease()) {}
    Handle(Handle&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), position_(other.position_) {}
    Handle& operator=(Handle&& other) noexcept {
      std::swap(pool_, other.pool_);
      std::swap(position_, other.position_);
      return *this;
    }
    ~Handle() {
      if (pool_ != nullptr) pool_->give_back(position_);
    }
    soci::session& operator*() { return pool_->at(position_); }

   private:
    soci::connection_pool* pool_;
    std::size_t position_;
  };

  explicit SociPeer(PoolShape shape) : pool_(shape.made) {}

  Handle acquire() { return Handle(pool_); }
  static void touch(Handle& handle) { benchmark::DoNotOptimize(&*handle); }

 private:
  soci::connection_pool pool_;
};

}  // namespace bench
