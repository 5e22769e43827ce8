#include <tidegate/pq/rows.hpp>

#include <libpq-fe.h>

#include <charconv>
#include <string>

#include <tidegate/pq/errors.hpp>

#include "pq/copy/copy_text.hpp"
#include "pq/result.hpp"
#include "pq/types/oids.hpp"
#include "pq/types/packed_values.hpp"

namespace tidegate {
namespace {

std::size_t count(int libpq_count) noexcept { return static_cast<std::size_t>(libpq_count); }

std::size_t columns_of(const pq::Result* result) noexcept {
  return result == nullptr ? 0 : count(PQnfields(result->columns()));
}

// Rows without a result have no statement to name.
template <class E = QueryError>
[[noreturn]] void fail(const pq::Result* result, QueryReport report) {
  if (result == nullptr) throw E(std::move(report));
  report.statement = result->statement;
  throw E(std::move(report), result->where);
}

void require_column(const pq::Result* result, std::size_t column) {
  const std::size_t columns = columns_of(result);
  if (column < columns) return;
  fail(result, {.message = "there is no column " + std::to_string(column) + ": the result has " +
                           std::to_string(columns) + ", counted from 0"});
}

void require_columns(const pq::Result* result, std::size_t expected) {
  const std::size_t columns = columns_of(result);
  if (columns == expected) return;
  fail(result, {.message = "the result has " + std::to_string(columns) + " columns, " +
                           std::to_string(expected) + " are asked for"});
}

}  // namespace

Rows::Rows() noexcept = default;
Rows::Rows(std::unique_ptr<pq::Result> result) noexcept : result_(std::move(result)) {}
Rows::Rows(Rows&&) noexcept = default;
Rows& Rows::operator=(Rows&&) noexcept = default;
Rows::~Rows() = default;

std::size_t Rows::rows() const noexcept {
  if (!result_) return 0;
  return result_->packed != nullptr ? result_->packed->rows
                                    : count(PQntuples(result_->native.get()));
}

std::size_t Rows::columns() const noexcept { return columns_of(result_.get()); }

std::uint64_t Rows::affected() const noexcept {
  // The number at its end, in all commands that have one.
  const std::string_view tag = command_tag();
  const std::string_view last = tag.substr(tag.rfind(' ') + 1);
  std::uint64_t rows = 0;
  std::from_chars(last.data(), last.data() + last.size(), rows);
  return rows;
}

std::string_view Rows::command_tag() const noexcept {
  if (!result_) return "";
  return result_->packed != nullptr ? result_->packed->command_tag
                                    : PQcmdStatus(result_->native.get());
}

std::string_view Rows::column_name(std::size_t column) const {
  require_column(result_.get(), column);
  return PQfname(result_->columns(), static_cast<int>(column));
}

std::uint32_t Rows::column_type(std::size_t column) const {
  require_column(result_.get(), column);
  return PQftype(result_->columns(), static_cast<int>(column));
}

Row Rows::operator[](std::size_t row) const {
  if (row >= rows()) {
    fail(result_.get(), {.message = "there is no row " + std::to_string(row) + ": the result has " +
                                    std::to_string(rows()) + ", counted from 0"});
  }
  return {result_.get(), row};
}

Row Rows::only() const {
  const std::size_t found = rows();
  if (found == 0) fail<NoRows>(result_.get(), {.message = "no row, exactly one is asked for"});
  if (found > 1) {
    fail<TooManyRows>(result_.get(),
                      {.message = std::to_string(found) + " rows, exactly one is asked for"});
  }
  return {result_.get(), 0};
}

void Rows::check_columns(std::size_t expected) const { require_columns(result_.get(), expected); }

std::size_t Row::columns() const noexcept { return columns_of(result_); }

void Row::check_columns(std::size_t expected) const { require_columns(result_, expected); }

std::size_t Row::column_named(std::string_view name) const {
  const std::size_t columns = columns_of(result_);
  for (std::size_t i = 0; i < columns; ++i) {
    if (name == PQfname(result_->columns(), static_cast<int>(i))) return i;
  }
  std::string message = "there is no column \"" + std::string(name) + "\" among";
  for (std::size_t i = 0; i < columns; ++i) {
    message.append(" \"").append(PQfname(result_->columns(), static_cast<int>(i))).append("\"");
  }
  fail(result_, {.message = std::move(message)});
}

Field Row::field(std::size_t column, Field::Name wanted) const {
  require_column(result_, column);
  const PGresult* const columns = result_->columns();
  const int r = static_cast<int>(row_);
  const int c = static_cast<int>(column);
  Field field;
  field.result_ = result_;
  field.row_ = row_;
  field.column_ = column;
  field.wanted_ = wanted;
  field.type_ = PQftype(columns, c);
  if (result_->values != nullptr) {
    const pq::CopyValue& value = (*result_->values)[column];
    field.null_ = value.null;
    field.text_ = value.text;
    return field;
  }
  field.binary_ = PQfformat(columns, c) == 1;
  if (result_->packed != nullptr) {
    const pq::PackedValues& packed = *result_->packed;
    const pq::PackedValues::Value& value = packed.values[row_ * count(PQnfields(columns)) + column];
    field.null_ = value.null;
    field.text_ = value.text;
    return field;
  }
  const PGresult* const native = columns;
  field.null_ = PQgetisnull(native, r, c) != 0;
  field.text_ = {PQgetvalue(native, r, c), count(PQgetlength(native, r, c))};
  return field;
}

void Field::refuse(std::string_view why) const {
  const int column = static_cast<int>(column_);
  const std::string name = PQfname(result_->columns(), column);
  std::string message =
      "row " + std::to_string(result_->first + row_) + ", column " + std::to_string(column_) +
      " \"" + name + "\": " + pq::type_name(PQftype(result_->columns(), column)) +
      " cannot be read as " + (wanted_ != nullptr ? wanted_() : "anything") + ": ";
  message += why;
  fail(result_, {.message = std::move(message), .column = name});
}

}  // namespace tidegate
