#include <tidegate/pq/errors.hpp>

#include <string>
#include <string_view>
#include <utility>

#include "base/printable.hpp"

namespace tidegate {
namespace {

// How much of a statement an error's first line shows.
constexpr std::size_t kShownStatement = 120;

bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// The statement on one line: runs of blanks become one, the end is cut at a whole character.
std::string shown(std::string_view statement) {
  constexpr std::size_t kLongestCharacter = 4;
  std::string line;
  bool gap = false;
  for (const char c : statement) {
    if (is_blank(c)) {
      gap = !line.empty();
      continue;
    }
    if (gap) line += ' ';
    gap = false;
    line += c;
    if (line.size() >= kShownStatement + kLongestCharacter) break;
  }
  const std::size_t size = detail::whole_prefix(line, kShownStatement);
  return detail::one_line(std::string_view(line).substr(0, size)) +
         (size < line.size() ? "..." : "");
}

void add_line(std::string& text, std::string_view label, std::string_view value) {
  if (value.empty()) return;
  text.append("\n  ").append(label).append(": ").append(detail::indented(value, "    "));
}

std::string text_of(const QueryReport& report, Location where) {
  std::string text;
  if (!report.sqlstate.empty()) {
    text.append(detail::one_line(report.severity)).append(" ");
    text.append(detail::one_line(report.sqlstate)).append(": ");
  }
  text += detail::indented(report.message, "    ");
  if (!report.statement.empty()) {
    text.append(" (statement: ").append(shown(report.statement)).append(")");
  }
  if (where.known()) {
    text.append(" at ").append(where.file()).append(":").append(std::to_string(where.line()));
  }
  if (report.position > 0) add_line(text, "position", std::to_string(report.position));
  add_line(text, "detail", report.detail);
  add_line(text, "hint", report.hint);
  add_line(text, "context", report.context);
  return text;
}

}  // namespace

QueryError::QueryError(Errc code, QueryReport report, Location where)
    : Error(code, text_of(report, where), where),
      report_(std::make_shared<const QueryReport>(std::move(report))) {}

QueryError::QueryError(QueryReport report, Location where)
    : QueryError(Errc::query, std::move(report), where) {}
QueryError::~QueryError() = default;

QueryTimeout::QueryTimeout(QueryReport report, Location where)
    : QueryError(Errc::timeout, std::move(report), where) {}
QueryTimeout::~QueryTimeout() = default;

QueryCanceled::QueryCanceled(QueryReport report, Location where)
    : QueryError(Errc::canceled, std::move(report), where) {}
QueryCanceled::~QueryCanceled() = default;

ConnectionLost::ConnectionLost(QueryReport report, Location where)
    : QueryError(Errc::connection_lost, std::move(report), where) {}
ConnectionLost::~ConnectionLost() = default;

NoRows::NoRows(QueryReport report, Location where)
    : QueryError(Errc::query, std::move(report), where) {}
NoRows::~NoRows() = default;

TooManyRows::TooManyRows(QueryReport report, Location where)
    : QueryError(Errc::query, std::move(report), where) {}
TooManyRows::~TooManyRows() = default;

}  // namespace tidegate
