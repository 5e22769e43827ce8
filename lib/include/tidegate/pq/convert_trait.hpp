// Convert<T> and what may be a parameter or a value; the conversions are in convert.hpp.
#pragma once

#include <concepts>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/base/sql.hpp>
#include <tidegate/pq/exec_options.hpp>
#include <tidegate/pq/field.hpp>
#include <tidegate/pq/params.hpp>
#include <tidegate/pq/types.hpp>

namespace tidegate {

// The customization point. To pass a type of your own, specialise this with one of the two
// functions or both, best built on a type the library knows:
//
//   template <>
//   struct tidegate::Convert<Colour> {
//     static void encode(Colour c, tidegate::Params& out) { out.text(name_of(c)); }
//     static Colour decode(const tidegate::Field& in) {
//       const auto colour = colour_named(in.as<std::string_view>());
//       if (!colour) in.refuse("no such colour");
//       return *colour;
//     }
//   };
//
// Optional members: `static std::string_view name()` for error texts, and
// `static constexpr bool accepts_null = true` when decode() deals with NULL itself.
template <class T>
struct Convert;

struct TxOptions;

namespace pq {

template <class T>
concept Encodable =
    requires(const T& value, Params& out) { Convert<std::remove_cv_t<T>>::encode(value, out); };

template <class T>
concept Decodable = requires(const Field& in) {
  { Convert<T>::decode(in) } -> std::same_as<T>;
};

// The integer types of two to eight bytes; the character types and bool are something else.
template <class T>
concept Integer =
    std::integral<T> && (sizeof(T) >= 2) && (sizeof(T) <= 8) && !std::same_as<T, wchar_t> &&
    !std::same_as<T, char16_t> && !std::same_as<T, char32_t>;

// Types whose values point into the Rows they were read from.
template <class T>
inline constexpr bool is_view = false;
template <>
inline constexpr bool is_view<std::string_view> = true;
template <class T, std::size_t N>
inline constexpr bool is_view<std::span<T, N>> = true;
template <class T>
inline constexpr bool is_view<std::optional<T>> = is_view<T>;

template <class T>
consteval bool check_bindable() {
  static_assert(!std::same_as<T, Deadline>,
                "tidegate: a Deadline is not a query parameter; the parameters of the statement "
                "are the last arguments");
  static_assert(!std::same_as<T, Location>,
                "tidegate: a Location is not a query parameter; the statement (Sql) carries it");
  static_assert(!std::same_as<T, ExecOptions>,
                "tidegate: ExecOptions are not a query parameter; they come before the statement");
  static_assert(!std::same_as<T, TxOptions>,
                "tidegate: TxOptions are not a query parameter; begin() and transact() take them");
  // No static_assert: overload resolution also tries the Sql after ExecOptions as a parameter.
  if constexpr (std::same_as<T, Sql>) return false;
  static_assert(std::same_as<T, Deadline> || std::same_as<T, Location> ||
                    std::same_as<T, ExecOptions> || std::same_as<T, TxOptions> ||
                    std::same_as<T, Sql> || Encodable<T>,
                "tidegate: this type cannot be a query parameter; specialise tidegate::Convert "
                "with encode() for it");
  return true;
}

template <class T>
consteval bool check_readable() {
  static_assert(Decodable<T>,
                "tidegate: this type cannot be read from a result; specialise tidegate::Convert "
                "with decode() for it");
  return true;
}

template <class T>
consteval bool check_owning() {
  static_assert(!is_view<T>,
                "tidegate: a view would dangle, because the rows are gone when this returns; ask "
                "for std::string, or keep the Rows of exec() and read the view from them");
  return true;
}

}  // namespace pq

// What may be a parameter. Any other type ends the compilation with a message that says why.
template <class T>
concept Bindable = pq::check_bindable<std::remove_cv_t<T>>();

// What may be read from a row; other types end the compilation in the same way.
template <class T>
concept Readable = pq::check_readable<T>();

// What may be returned when the rows are gone; other types end the compilation in the same way.
template <class T>
concept OwningReadable = pq::check_owning<T>() && pq::check_readable<T>();

template <class T>
void Params::bind(const T& value) {
  const std::size_t before = count();
  Convert<T>::encode(value, *this);
  check_bound(before);
}

}  // namespace tidegate
