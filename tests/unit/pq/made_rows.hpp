// Rows without a server.
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <tidegate/pq/errors.hpp>
#include <tidegate/pq/rows.hpp>

#include "pq/result.hpp"

namespace tidegate::pq_test {

struct Column {
  std::string name;
  Oid type;
  int format = 0;  // 1: binary
};
using Value = std::optional<std::string>;

inline constexpr Oid kBool = 16, kBytea = 17, kInt8 = 20, kInt4 = 23, kText = 25, kFloat8 = 701,
                     kDate = 1082, kTimestamp = 1114, kTimestamptz = 1184, kNumeric = 1700,
                     kUuid = 2950, kJsonb = 3802, kByteaArray = 1001, kInt4Array = 1007,
                     kTextArray = 1009, kTimestampArray = 1115;

inline Rows make_rows(std::vector<Column> columns, const std::vector<std::vector<Value>>& rows) {
  auto result = std::make_unique<pq::Result>();
  result->native.reset(PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK));
  result->statement = "select made";
  result->where = Location::current();
  std::vector<PGresAttDesc> described;
  for (Column& column : columns) {
    PGresAttDesc attribute{};
    attribute.name = column.name.data();
    attribute.typid = column.type;
    attribute.format = column.format;
    described.push_back(attribute);
  }
  PQsetResultAttrs(result->native.get(), static_cast<int>(described.size()), described.data());
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t c = 0; c < rows[r].size(); ++c) {
      std::string text = rows[r][c].value_or("");
      PQsetvalue(result->native.get(), static_cast<int>(r), static_cast<int>(c),
                 rows[r][c] ? text.data() : nullptr,
                 rows[r][c] ? static_cast<int>(text.size()) : -1);
    }
  }
  return Rows(std::move(result));
}

// One row of one column called "value".
inline Rows make_value(Oid type, const Value& value) {
  return make_rows({{"value", type}}, {{value}});
}

// `text`, as the server sends it for a value of `type`, read as a T.
template <class T>
T read(Oid type, const Value& text) {
  return make_value(type, text)[0].get<T>(0);
}

// The text of the QueryError that reading it as a T throws; empty when it does not.
template <class T>
std::string refusal(Oid type, const Value& text) {
  try {
    read<T>(type, text);
  } catch (const QueryError& error) {
    return error.message();
  }
  return "";
}

// What is sent for `value`; nullopt for NULL.
template <class T>
std::optional<std::string> sent(const T& value) {
  Params params;
  params.clear({});
  params.bind(value);
  params.seal();
  const char* data = params.values()[0];
  if (data == nullptr) return std::nullopt;
  return std::string(data, static_cast<std::size_t>(params.lengths()[0]));
}

}  // namespace tidegate::pq_test
