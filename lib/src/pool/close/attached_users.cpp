#include "pool/close/attached_users.hpp"

#include <tidegate/base/test_point.hpp>

#include "pool/errors/error_text.hpp"

namespace tidegate {
namespace detail {

UserToken AttachedUsers::attach(std::string_view name, Location where) {
  const Lock lock(mutex_);
  TIDEGATE_TEST_POINT("attach.locked");
  const std::uint64_t id = last_id_ + 1;
  users_.emplace(id, User{std::string(name), where});
  last_id_ = id;
  return {shared_from_this(), id};
}

void AttachedUsers::detach(std::uint64_t id) noexcept {
  if (forks_ != ForkHook::forks()) return;
  const Lock lock(mutex_);
  users_.erase(id);
}

std::vector<std::string> AttachedUsers::names() const {
  const Lock lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [id, user] : users_) {
    names.push_back(user.name + (user.where.known() ? " (" + short_place(user.where) + ")" : ""));
  }
  return names;
}

}  // namespace detail

void UserToken::detach() noexcept {
  if (users_ != nullptr) std::exchange(users_, nullptr)->detach(id_);
}

}  // namespace tidegate
