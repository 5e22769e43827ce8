// Expected<T>: a value, or the error that the throwing verb would have thrown.
#pragma once

#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include <tidegate/base/error.hpp>

namespace tidegate {

// Shaped like std::expected<T, ErrorValue> (C++23), but has only the part that the library uses.
template <class T>
class [[nodiscard]] Expected {
  static_assert(std::is_object_v<T> && !std::is_same_v<T, ErrorValue>);

 public:
  using value_type = T;
  using error_type = ErrorValue;

  Expected(T value) : held_(std::in_place_index<0>, std::move(value)) {}           // NOLINT
  Expected(ErrorValue error) : held_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool has_value() const noexcept { return held_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  // On an error these throw it, as the throwing verb would have done.
  T& value() & {
    if (!has_value()) error().raise();
    return *std::get_if<0>(&held_);
  }
  const T& value() const& {
    if (!has_value()) error().raise();
    return *std::get_if<0>(&held_);
  }
  T&& value() && { return std::move(value()); }

  // Need has_value().
  T& operator*() & noexcept { return *std::get_if<0>(&held_); }
  const T& operator*() const& noexcept { return *std::get_if<0>(&held_); }
  T&& operator*() && noexcept { return std::move(*std::get_if<0>(&held_)); }
  T* operator->() noexcept { return std::get_if<0>(&held_); }
  const T* operator->() const noexcept { return std::get_if<0>(&held_); }

  // Needs !has_value().
  const ErrorValue& error() const noexcept { return *std::get_if<1>(&held_); }

  template <class U>
  T value_or(U&& other) && {
    return has_value() ? std::move(**this) : static_cast<T>(std::forward<U>(other));
  }

 private:
  std::variant<T, ErrorValue> held_;
};

// Nothing, or the error.
template <>
class [[nodiscard]] Expected<void> {
 public:
  using value_type = void;
  using error_type = ErrorValue;

  Expected() noexcept = default;
  Expected(ErrorValue error) : error_(std::move(error)) {}  // NOLINT

  bool has_value() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  // On an error these throw it, as the throwing verb would have done.
  void value() const {
    if (error_) error_->raise();
  }
  // Needs !has_value().
  const ErrorValue& error() const noexcept { return *error_; }

 private:
  std::optional<ErrorValue> error_{};
};

}  // namespace tidegate
