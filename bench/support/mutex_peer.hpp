// The pool that people write, over a stub.
#pragma once

#include <optional>
#include <string>

#include "support/mutex_pool.hpp"
#include "support/peer.hpp"
#include "support/stub.hpp"

namespace bench {

class MutexPeer {
 public:
  static constexpr const char* kName = "mutex_vector";
  static std::optional<std::string> missing() { return std::nullopt; }

  using Handle = MutexPool<Stub>::Handle;

  explicit MutexPeer(PoolShape shape) : pool_(shape.made, [] { return Stub(); }) {}

  Handle acquire() { return pool_.acquire(); }
  static void touch(Handle& handle) noexcept { (*handle).touch(); }

 private:
  MutexPool<Stub> pool_;
};

}  // namespace bench
