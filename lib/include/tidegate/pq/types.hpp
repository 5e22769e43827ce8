// Values that the standard library has no type for: uuid, json, numeric.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <tidegate/base/export.hpp>

namespace tidegate {

// A uuid, its 16 bytes in the order in which it is written.
struct Uuid {
  std::array<std::byte, 16> bytes{};

  // Reads "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", upper or lower case; nullopt for anything else.
  TIDEGATE_API static std::optional<Uuid> parse(std::string_view text) noexcept;
  TIDEGATE_API std::string to_string() const;

  friend bool operator==(const Uuid&, const Uuid&) = default;
  friend auto operator<=>(const Uuid&, const Uuid&) = default;
};

// A json or jsonb document as text. Compared as text: {"a":1} is not { "a": 1 }.
struct Json {
  std::string text{};

  friend bool operator==(const Json&, const Json&) = default;
};

// A numeric in decimal notation, exact at any size: "-12.50", "NaN". Compared as text.
struct Numeric {
  std::string text{};

  friend bool operator==(const Numeric&, const Numeric&) = default;
};

}  // namespace tidegate
