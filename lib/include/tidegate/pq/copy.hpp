// COPY: many rows to or from a table, streaming.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/base/sql.hpp>
#include <tidegate/pq/connection.hpp>
#include <tidegate/pq/convert.hpp>
#include <tidegate/pq/exec_options.hpp>
#include <tidegate/pq/params.hpp>
#include <tidegate/pq/row.hpp>
#include <tidegate/pq/verb.hpp>

struct pg_result;  // libpq's PGresult

namespace tidegate {

// Where copy_in() writes to. Names are taken literally: upper and lower case matter, and a dot is
// part of a name.
struct CopyTarget {
  std::string table{};
  std::vector<std::string> columns{};  // one for each tuple element; empty: all of the table's
  std::string schema{};                // empty: found by search_path
};

namespace pq {

struct ClearResult;

// The machinery of copy_in(). Its destructor aborts the COPY, unless it was finished.
class TIDEGATE_API CopyIn {
 public:
  // Begins a COPY whose rows have `values` values each.
  CopyIn(Session& session, const CopyTarget& target, std::size_t values, const ExecOptions& options,
         Location where);
  CopyIn(const CopyIn&) = delete;
  CopyIn& operator=(const CopyIn&) = delete;
  ~CopyIn();

  // Returns the values of the next row, which the caller fills.
  Params& start_row() noexcept {
    row_.begin_line(lines_ + 1, where_);
    return row_;
  }
  // False when the server has refused the COPY or a limit was reached; finish() then reports it.
  bool end_row();
  // Throws what the server reported. Returns how many rows were copied.
  std::uint64_t finish();

 private:
  bool send();
  void abort() noexcept;
  std::unique_ptr<pg_result, ClearResult> end(const char* refusal);

  Verb verb_;  // first, so that it ends last
  Session& session_;
  Location where_;
  Params row_{};
  std::string data_{};  // rows not sent yet
  std::uint64_t lines_ = 0;
  bool under_way_ = false;
  bool over_ = false;  // refused by the server, or out of time
};

// The machinery of copy_out(). Its destructor throws away what was not read.
class TIDEGATE_API CopyOut {
 public:
  CopyOut(Session& session, const Sql& query, const ExecOptions& options);
  CopyOut(const CopyOut&) = delete;
  CopyOut& operator=(const CopyOut&) = delete;
  ~CopyOut();

  // Reads the next row; false at the end. Throws what the server reported.
  bool next();
  // Valid until the next next().
  Row row() const noexcept;
  // Throws away what was not read. Throws: UsageError when there is no lease or connection any
  // more.
  void stop();

 private:
  struct State;
  void take(std::span<char> line);
  void leave();
  void abandon() noexcept;

  std::unique_ptr<State> state_;
};

template <class T>
concept TupleLike = requires { std::tuple_size<T>::value; };

}  // namespace pq

template <class Range>
std::uint64_t Connection::copy_in(const CopyTarget& target, Range&& rows,
                                  const ExecOptions& options, Location where) {
  using Tuple = std::remove_cvref_t<decltype(*std::begin(rows))>;
  static_assert(pq::TupleLike<Tuple>,
                "tidegate: copy_in() takes a range of tuples (std::tuple, std::pair, std::array), "
                "each a row");
  pq::CopyIn copy(free_session(where), target, std::tuple_size_v<Tuple>, options, where);
  for (auto&& row : rows) {
    Params& values = copy.start_row();
    std::apply([&]<Bindable... Ts>(const Ts&... each) { (values.bind(each), ...); }, row);
    if (!copy.end_row()) break;
  }
  return copy.finish();
}

template <class F>
void Connection::copy_out(Sql query, F&& per_row, const ExecOptions& options) {
  pq::CopyOut copy(free_session(query.where()), query, options);
  while (copy.next()) {
    if constexpr (std::is_same_v<std::invoke_result_t<F&, Row>, bool>) {
      if (!per_row(copy.row())) return copy.stop();
    } else {
      per_row(copy.row());
    }
  }
}

}  // namespace tidegate
