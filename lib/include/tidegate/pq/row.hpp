// Row: one row of a result, read by column.
#pragma once

#include <cstddef>
#include <iterator>
#include <string_view>
#include <tuple>
#include <utility>

#include <tidegate/base/export.hpp>
#include <tidegate/pq/convert.hpp>
#include <tidegate/pq/field.hpp>

namespace tidegate {

template <class... Ts>
class TypedRows;
namespace pq {
class CopyOut;
}

// A view: valid as long as the Rows it comes from, also when those are moved.
class TIDEGATE_API Row {
 public:
  Row() noexcept = default;  // no row; only to be assigned to

  std::size_t index() const noexcept { return row_; }
  std::size_t columns() const noexcept;

  // The value in a column, by position from 0 or by its exact name (the first of that name).
  // Throws: QueryError naming row, column and both types when there is no such column, the value is
  //         NULL and T is no std::optional, or it does not convert or fit.
  template <Readable T>
  T get(std::size_t column) const {
    return field(column, &pq::cpp_name<T>).template as<T>();
  }
  template <Readable T>
  T get(std::string_view name) const {
    return get<T>(column_named(name));
  }
  // The whole row, column by column.
  // Throws: as get(), and QueryError when the number of columns differs.
  template <Readable... Ts>
  std::tuple<Ts...> as() const {
    check_columns(sizeof...(Ts));
    return values<Ts...>(std::index_sequence_for<Ts...>{});
  }
  // Throws: QueryError when there is no such column.
  bool is_null(std::size_t column) const { return field(column, nullptr).is_null(); }

 private:
  friend class Rows;
  friend class RowIterator;
  friend class pq::CopyOut;
  friend class pq::Session;
  template <class... Ts>
  friend class TypedRows;

  Row(const pq::Result* result, std::size_t row) noexcept : result_(result), row_(row) {}
  Field field(std::size_t column, Field::Name wanted) const;
  std::size_t column_named(std::string_view name) const;
  void check_columns(std::size_t expected) const;
  template <class... Ts, std::size_t... I>
  std::tuple<Ts...> values(std::index_sequence<I...>) const {
    return std::tuple<Ts...>{field(I, &pq::cpp_name<Ts>).template as<Ts>()...};
  }

  const pq::Result* result_ = nullptr;
  std::size_t row_ = 0;
};

// Comparable with iterators of the same Rows.
class RowIterator {
 public:
  using value_type = Row;
  using reference = Row;
  using pointer = void;
  using difference_type = std::ptrdiff_t;
  using iterator_category = std::input_iterator_tag;

  RowIterator() noexcept = default;
  Row operator*() const noexcept { return row_; }
  RowIterator& operator++() noexcept {
    ++row_.row_;
    return *this;
  }
  RowIterator operator++(int) noexcept {
    const RowIterator before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const RowIterator& a, const RowIterator& b) noexcept {
    return a.row_.index() == b.row_.index();
  }

 private:
  friend class Rows;
  explicit RowIterator(Row row) noexcept : row_(row) {}

  Row row_{};
};

}  // namespace tidegate
