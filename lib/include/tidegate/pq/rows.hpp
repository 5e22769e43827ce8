// Rows: what a statement returned, held in memory; it keeps no connection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string_view>
#include <tuple>
#include <utility>

#include <tidegate/base/export.hpp>
#include <tidegate/pq/row.hpp>

namespace tidegate {

// Move-only. Default-constructed and moved-from: empty.
class TIDEGATE_API Rows {
 public:
  Rows() noexcept;
  // Takes over a finished result; for the query loop.
  explicit Rows(std::unique_ptr<pq::Result> result) noexcept;
  Rows(Rows&&) noexcept;
  Rows& operator=(Rows&&) noexcept;
  ~Rows();

  std::size_t rows() const noexcept;
  std::size_t size() const noexcept { return rows(); }
  bool empty() const noexcept { return rows() == 0; }
  std::size_t columns() const noexcept;
  // Rows inserted, updated, deleted, ...; for SELECT the rows returned; 0 where it does not apply.
  std::uint64_t affected() const noexcept;
  // "INSERT 0 1", "SELECT 3"; valid as long as the rows.
  std::string_view command_tag() const noexcept;

  // Throw QueryError when there is no such column. The name is valid as long as the rows.
  std::string_view column_name(std::size_t column) const;
  std::uint32_t column_type(std::size_t column) const;  // its OID

  // Throws QueryError when there is no such row.
  Row operator[](std::size_t row) const;
  // The only row. Throws: NoRows, TooManyRows.
  Row only() const;
  RowIterator begin() const noexcept { return RowIterator(Row(result_.get(), 0)); }
  RowIterator end() const noexcept { return RowIterator(Row(result_.get(), rows())); }

  // for (auto [id, name] : rows.as<int, std::string>()). Called on a temporary it keeps the rows.
  // Throws: QueryError when the number of columns differs; reading a row throws as Row::get().
  template <Readable... Ts>
  TypedRows<Ts...> as() const& {
    return TypedRows<Ts...>(*this);
  }
  template <Readable... Ts>
  TypedRows<Ts...> as() && {
    return TypedRows<Ts...>(std::move(*this));
  }

 private:
  template <class... Ts>
  friend class TypedRows;
  void check_columns(std::size_t expected) const;

  std::unique_ptr<pq::Result> result_;
};

// The rows as a range of tuples; each row is read when the iteration reaches it.
template <class... Ts>
class TypedRows {
 public:
  class iterator {
   public:
    using value_type = std::tuple<Ts...>;
    using reference = value_type;
    using pointer = void;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;

    iterator() noexcept = default;
    explicit iterator(RowIterator at) noexcept : at_(at) {}
    value_type operator*() const {
      return (*at_).template values<Ts...>(std::index_sequence_for<Ts...>{});
    }
    iterator& operator++() noexcept {
      ++at_;
      return *this;
    }
    iterator operator++(int) noexcept { return iterator(at_++); }
    friend bool operator==(const iterator&, const iterator&) noexcept = default;

   private:
    RowIterator at_{};
  };

  explicit TypedRows(const Rows& rows) : begin_(rows.begin()), end_(rows.end()) {
    rows.check_columns(sizeof...(Ts));
  }
  // The iterators stay valid: they refer to what the Rows hold, not to the Rows.
  explicit TypedRows(Rows&& rows) : TypedRows(std::as_const(rows)) { kept_ = std::move(rows); }

  iterator begin() const noexcept { return begin_; }
  iterator end() const noexcept { return end_; }

 private:
  iterator begin_;
  iterator end_;
  Rows kept_{};
};

}  // namespace tidegate
