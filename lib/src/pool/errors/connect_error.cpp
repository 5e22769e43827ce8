#include <tidegate/pool/connect_error.hpp>

#include <algorithm>
#include <string_view>
#include <utility>

#include "pool/errors/error_text.hpp"

namespace tidegate {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  return text;
}

std::string connect_text(Errc code, const ConnectReport& report, Location where) {
  using detail::counted;
  using detail::indented;
  using detail::one_line;
  const std::string_view text = trimmed(report.text);
  const auto first_line = text.substr(0, text.find('\n'));
  const auto more_lines = text.substr(std::min(text.size(), first_line.size() + 1));

  std::string line = detail::pool_text(report.pool) + ": ";
  line += report.failed_in == ConnectReport::Where::hook      ? ""  // the text names it
          : report.failed_in == ConnectReport::Where::process ? "cannot connect: "
          : code == Errc::rejected                            ? "server rejects the connection: "
                                                              : "server unreachable: ";
  if (!first_line.empty()) {
    line += one_line(first_line);
  } else {
    // Since this end was decided, a connect may have succeeded and removed the reason.
    line += report.attempts == 0 ? "until a moment ago" : "no reason given";
  }
  if (!report.sqlstate.empty() && text.find(report.sqlstate) == text.npos) {
    line += " (" + one_line(report.sqlstate) + ")";
  }
  if (report.attempts != 0) {
    line += ", " + counted(report.attempts, "attempt");
    line += " in " + brief_duration(report.at - report.since);
    // During a backoff a rejection is repeated from memory, so the text says how old it is.
    if (code == Errc::rejected) {
      line += ", last " + brief_duration(report.at - report.last) + " ago";
    }
  }
  if (report.next_in) line += ", next in " + brief_duration(*report.next_in);
  // A rejection does not wait for the deadline.
  if (code != Errc::rejected) line += "; " + detail::no_connection(report.allowed, report.waited);

  if (!more_lines.empty()) line += "\n    " + indented(more_lines, "    ");
  for (const auto& address : report.addresses) {
    line += "\n  " + one_line(address.address) + ": " + indented(trimmed(address.reason), "    ");
  }
  return line + detail::this_acquire(where);
}

}  // namespace

ConnectError::ConnectError(Errc code, ConnectReport report, Location where)
    : Error(code, connect_text(code, report, where), where),
      report_(std::make_shared<const ConnectReport>(std::move(report))) {}
ConnectError::~ConnectError() = default;

}  // namespace tidegate
