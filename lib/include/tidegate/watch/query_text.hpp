// A statement's text as logs and traces may show it.
#pragma once

#include <string>
#include <string_view>

#include <tidegate/base/export.hpp>

namespace tidegate {

// The text with ? for every literal (texts, numbers, dollar quotes), one blank for blanks and
// comments, and everything else as it is: $1 and "names" too. Where a text may end in two places,
// as standard_conforming_strings says, or does not end, one ? stands for all the rest: no part of a
// value ever stays.
TIDEGATE_API std::string without_literals(std::string_view sql);

// The first keyword in upper case: "SELECT", "WITH", "COMMIT"; empty if there is none.
TIDEGATE_API std::string operation_of(std::string_view sql);

// What is done to which tables, of few different values, as OpenTelemetry's db.query.summary:
// "SELECT orders", "INSERT shipping SELECT orders". 255 bytes at most. A guess by the words of the
// text: names of views, functions and WITH parts are among the tables.
TIDEGATE_API std::string summary_of(std::string_view sql);

}  // namespace tidegate
