// What people write: connections of libpq, in a vector under a mutex.
#pragma once

#include <optional>
#include <string>

#include <benchmark/benchmark.h>

#include "e2e/raw.hpp"
#include "support/mutex_pool.hpp"
#include "support/peer.hpp"

namespace bench {

class ByHandPeer {
 public:
  static constexpr const char* kName = "mutex_vector";
  static std::optional<std::string> missing() { return std::nullopt; }

  using Handle = MutexPool<RawConnection>::Handle;

  static constexpr bool kTakesConninfo = true;

  explicit ByHandPeer(const PoolShape& shape)
      : pool_(shape.made, [&shape] { return raw_connect_and_prepare(shape.conninfo); }) {}

  Handle acquire() { return pool_.acquire(); }
  static void touch(Handle& handle) noexcept { benchmark::DoNotOptimize((*handle).get()); }
  static PGconn* native(Handle& handle) noexcept { return (*handle).get(); }
  int select(int value) {
    Handle handle = acquire();
    return raw_select((*handle).get(), value);
  }

 private:
  MutexPool<RawConnection> pool_;
};

}  // namespace bench
