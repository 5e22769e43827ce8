// PoolRegistry: pools by name, each made once, for programs whose parts share them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tidegate/base/export.hpp>
#include <tidegate/base/fork.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/base/mutex.hpp>
#include <tidegate/pool/close.hpp>
#include <tidegate/pool/config.hpp>
#include <tidegate/pool/pool.hpp>

namespace tidegate {

// All members may be called from any thread at any time. In a child after fork() they throw Forked.
class TIDEGATE_API PoolRegistry {
 public:
  PoolRegistry();
  // Gives up its pools; each ends with the last owner of its shared_ptr.
  ~PoolRegistry();
  PoolRegistry(const PoolRegistry&) = delete;
  PoolRegistry& operator=(const PoolRegistry&) = delete;

  // The registry of this process; a child after fork() has its own.
  static PoolRegistry& global();

  // The pool `name`. Makes it if there is none or it was closed; all concurrent callers get the
  // same pool. A configuration without a name gets this one.
  // Throws: ConfigError when the pool is open with another configuration (each field that differs,
  //         and where it was opened; hooks and observers only as set or not set), and as Pool's
  //         constructor.
  std::shared_ptr<Pool> open(std::string_view name, PoolConfig config,
                             Location where = Location::current());
  // The open pool `name`.
  // Throws: UsageError when there is none (it says which ones there are), or it was closed.
  std::shared_ptr<Pool> get(std::string_view name, Location where = Location::current()) const;
  // Closes all pools, the last one made first, and forgets them. A pool that this thread cannot
  // close (WouldDeadlock) stays; its error is thrown after the others are closed.
  // Throws: WouldDeadlock, UsageError as Pool::close().
  std::vector<std::pair<std::string, CloseReport>> close_all(const CloseOptions& options = {},
                                                             Location where = Location::current());

 private:
  struct Entry;

  bool inherited() const noexcept { return forks_ != detail::ForkHook::forks(); }
  void refuse_if_inherited(Location where) const;
  const Entry* find(std::string_view name) const noexcept TIDEGATE_REQUIRES(mutex_);

  const std::uint32_t forks_ = detail::ForkHook::forks();
  mutable detail::Mutex<> mutex_;
  std::vector<Entry> entries_ TIDEGATE_GUARDED_BY(mutex_);  // in the order in which they were made
};

}  // namespace tidegate
