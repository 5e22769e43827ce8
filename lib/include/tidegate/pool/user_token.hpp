// UserToken: "this component uses the pool".
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include <tidegate/base/export.hpp>

namespace tidegate {

namespace detail {
class AttachedUsers;
}

// Made by Pool::attach(); the destructor detaches. Move-only; empty when default-constructed, moved
// from or detached. A token may outlive the pool: it then refers to nothing, and its destructor
// does nothing.
class TIDEGATE_API UserToken {
 public:
  UserToken() noexcept = default;
  UserToken(UserToken&& other) noexcept
      : users_(std::exchange(other.users_, nullptr)), id_(other.id_) {}
  UserToken& operator=(UserToken&& other) noexcept {
    if (this != &other) {
      detach();
      users_ = std::exchange(other.users_, nullptr);
      id_ = other.id_;
    }
    return *this;
  }
  ~UserToken() { detach(); }

  // The component does not use the pool any more. Idempotent.
  void detach() noexcept;
  explicit operator bool() const noexcept { return users_ != nullptr; }

 private:
  friend class detail::AttachedUsers;
  UserToken(std::shared_ptr<detail::AttachedUsers> users, std::uint64_t id) noexcept
      : users_(std::move(users)), id_(id) {}

  std::shared_ptr<detail::AttachedUsers> users_{};
  std::uint64_t id_ = 0;
};

}  // namespace tidegate
