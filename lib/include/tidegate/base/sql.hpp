// Sql: statement text together with the place that wrote it.
#pragma once

#include <concepts>
#include <string>
#include <string_view>

#include <tidegate/base/location.hpp>

namespace tidegate {

// A view of SQL text that also carries the caller's Location, for verbs that end in a parameter
// pack and so cannot take a Location. Needs: the text outlives the call it is passed to.
class Sql {
 public:
  constexpr Sql(const char* text, Location where = Location::current()) noexcept  // NOLINT
      : text_(text), where_(where) {}
  constexpr Sql(std::string_view text, Location where = Location::current()) noexcept  // NOLINT
      : text_(text), where_(where) {}
  Sql(const std::string& text, Location where = Location::current()) noexcept  // NOLINT
      : text_(text), where_(where) {}

  constexpr std::string_view text() const noexcept { return text_; }
  constexpr Location where() const noexcept { return where_; }

 private:
  std::string_view text_;
  Location where_;
};

}  // namespace tidegate
