// A statement as a span of OpenTelemetry: its name and attributes, as plain data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <tidegate/base/export.hpp>
#include <tidegate/pq/query_observer.hpp>

namespace tidegate {

// Names and values as the stable conventions for database clients spell them (semantic conventions
// 1.30 and later). The kind of such a span is CLIENT; a span that has failed has the status Error.
using SpanAttributes =
    std::vector<std::pair<std::string_view, std::variant<std::int64_t, std::string>>>;

// db.query.summary, or where there is none the name of the system: "SELECT orders", "postgresql".
TIDEGATE_API std::string span_name(const QueryStarted& statement);

// When the span starts: db.system.name, db.namespace (the database), db.operation.name,
// db.query.summary, db.query.text (without literals; the values of parameters are never among
// these), db.operation.batch.size (of a batch of two or more), server.address, server.port, and
// code.function.name, code.file.path, code.line.number of the call. What is not known is missing.
TIDEGATE_API SpanAttributes span_attributes(const QueryStarted& statement);

// When it ends: db.response.returned_rows, and if it failed db.response.status_code (the SQLSTATE)
// and error.type: the SQLSTATE, or else the code ("timeout"), or else "_OTHER".
TIDEGATE_API SpanAttributes span_attributes(const QueryEnded& end);

}  // namespace tidegate
