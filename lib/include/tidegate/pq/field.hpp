// Field: one value of a result on its way to a C++ type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <tidegate/base/export.hpp>

namespace tidegate {

template <class T>
struct Convert;
class Field;

namespace pq {
struct Result;
class Session;
std::string_view view_text(const Field& in);

// Whether Convert<T>::decode also takes NULL.
template <class T>
inline constexpr bool accepts_null = requires { requires Convert<T>::accepts_null; };

// What error texts call T: the name that its Convert gives, else the compiler's name.
template <class T>
std::string cpp_name() {
  if constexpr (requires { std::string(Convert<T>::name()); }) {
    return std::string(Convert<T>::name());
  } else {
    const std::string_view signature = __PRETTY_FUNCTION__;  // "... cpp_name() [with T = X; ...]"
    const auto start = signature.find("T = ") + 4;
    return std::string(signature.substr(start, signature.find_first_of(";]", start) - start));
  }
}
}  // namespace pq

// What Convert<T>::decode reads: the value as it came, and where it stands.
// Valid as long as the Rows it comes from.
class TIDEGATE_API Field {
 public:
  bool is_null() const noexcept { return null_; }
  // The server's text for the value or, when binary(), its binary form; empty when NULL.
  // as<std::string>() gives the text in either case.
  std::string_view text() const noexcept { return text_; }
  bool binary() const noexcept { return binary_; }
  // The OID of its PostgreSQL type; 0 for an element of an array of a type not built in.
  std::uint32_t type() const noexcept { return type_; }

  // Reads the value with another type's conversion, so that a conversion can build on it.
  // Throws: QueryError when the value is NULL and T takes none, or when it does not convert.
  template <class T>
  T as() const {
    if constexpr (!pq::accepts_null<T>) {
      if (null_) refuse("it is NULL; std::optional takes NULL");
    }
    return Convert<T>::decode(*this);
  }

  // Throws the QueryError that names row, column, both types and `why`. `why` should not quote the
  // value: error texts end up in logs.
  [[noreturn]] void refuse(std::string_view why) const;

 private:
  friend class Row;
  friend class ArrayReader;
  friend std::string_view pq::view_text(const Field& in);
  using Name = std::string (*)();

  Field() = default;

  const pq::Result* result_ = nullptr;
  std::size_t row_ = 0;
  std::size_t column_ = 0;
  Name wanted_ = nullptr;  // the C++ type that was asked for first
  std::string_view text_{};
  std::uint32_t type_ = 0;
  bool null_ = false;
  bool binary_ = false;
};

// Walks the elements of a one-dimensional array in the server's text form.
// Throws: QueryError for anything else.
class TIDEGATE_API ArrayReader {
 public:
  explicit ArrayReader(const Field& array);

  // Steps to the next element; false at the end.
  bool next();
  // The element; valid until the next next().
  const Field& element() const noexcept { return element_; }

 private:
  void read_quoted();
  void read_bare();

  Field element_;
  const Field& array_;
  std::string_view rest_{};  // after the opening brace, then after each element
  std::string unescaped_{};
  bool first_ = true;
};

}  // namespace tidegate
