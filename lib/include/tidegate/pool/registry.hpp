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
  // Lets go of its pools; each ends with the last one who has it.
  ~PoolRegistry();
  PoolRegistry(const PoolRegistry&) = delete;
  PoolRegistry& operator=(const PoolRegistry&) = delete;

  // The one of this process; a child after fork() has its own.
  static PoolRegistry& global();

  // The pool `name`, made now if there is none or it was closed; all who ask at once get the same.
  // Without a name of its own the configuration gets this one.
  // Throws: ConfigError when the pool is open with another configuration (each field that differs,
  //         and where it was opened; hooks and observers only as set or not set), and as Pool's
  //         constructor.
  std::shared_ptr<Pool> open(std::string_view name, PoolConfig config,
                             Location where = Location::current());
  // The open pool `name`.
  // Throws: UsageError when there is none (it says which ones there are), or it was closed.
  std::shared_ptr<Pool> get(std::string_view name, Location where = Location::current()) const;
  // Closes all pools, the last one made first, and forgets them. A pool that cannot be closed here
  // (WouldDeadlock) stays, and its error is thrown when the others are closed.
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
