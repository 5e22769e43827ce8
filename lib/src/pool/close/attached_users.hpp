// AttachedUsers: the components that say, by their tokens, that they use a pool.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <tidegate/base/fork.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/base/mutex.hpp>
#include <tidegate/pool/user_token.hpp>

namespace tidegate::detail {

// The pool and its tokens share it; the tokens may outlive the pool. Any thread.
class AttachedUsers : public std::enable_shared_from_this<AttachedUsers> {
 public:
  UserToken attach(std::string_view name, Location where);
  // Does nothing in a child after fork(), where the mutex may be locked for ever.
  void detach(std::uint64_t id) noexcept;
  // "http-server (src/main.cpp:12)" for each user, in the order in which they attached.
  std::vector<std::string> names() const;

 private:
  struct User {
    std::string name;
    Location where;
  };

  const std::uint32_t forks_ = ForkHook::forks();
  mutable Mutex<> mutex_;
  std::map<std::uint64_t, User> users_ TIDEGATE_GUARDED_BY(mutex_);
  std::uint64_t last_id_ TIDEGATE_GUARDED_BY(mutex_) = 0;
};

}  // namespace tidegate::detail
