#include <libpq-fe.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string>
#include <utility>

#include <tidegate/base/error.hpp>
#include <tidegate/pq/copy.hpp>

#include "pq/copy/copy_text.hpp"
#include "pq/session.hpp"
#include "pq/sql_text.hpp"
#include "pq/throw_usage.hpp"

namespace tidegate::pq {
namespace {

// Data is sent in pieces of about this size: small enough to fit into a socket that has room, and
// large enough that system calls do not count.
constexpr std::size_t kPiece = std::size_t{32} * 1024;

// A larger row is sent in slices of this size: libpq takes 2 GiB at once, and copies it.
constexpr std::size_t kSlice = std::size_t{1024} * 1024;

std::string copy_statement(const CopyTarget& target) {
  std::string text = "COPY ";
  if (!target.schema.empty()) {
    append_identifier(text, target.schema);
    text += '.';
  }
  append_identifier(text, target.table);
  const char* separator = " (";
  for (const std::string& column : target.columns) {
    text += separator;
    append_identifier(text, column);
    separator = ", ";
  }
  if (!target.columns.empty()) text += ')';
  return text + " FROM STDIN";
}

// Whether the server sends an error report next. libpq does not look at one before all the data is
// sent, which may be hours after the first line was refused, so this looks into the socket: 'E',
// its size, and the first two fields. It does not see an error that is encrypted, or that libpq has
// read already; such an error is reported at the end.
bool is_error_report_next(int socket) noexcept {
  char head[64];
  const ssize_t size = ::recv(socket, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);
  if (size < 6) return false;
  std::string_view report(head, static_cast<std::size_t>(size));
  if (report[0] != 'E' || report[5] != 'S') return false;
  report.remove_prefix(6);
  report.remove_prefix(std::min(report.find('\0') + 1, report.size()));
  for (const std::string_view severity : {"ERROR", "FATAL", "PANIC"}) {
    if (report.starts_with('V') && report.substr(1).starts_with(severity)) return true;
  }
  return false;
}

}  // namespace

CopyIn::CopyIn(Session& session, const CopyTarget& target, std::size_t values,
               const ExecOptions& options, Location where)
    : verb_(session, QueryKind::copy_in), session_(session), where_(where) {
  const std::size_t named = target.columns.size();
  if (named != 0 && named != values) {
    throw_usage("copy_in: " + std::to_string(named) + " columns are named, a row has " +
                    std::to_string(values) + " values",
                where);
  }
  data_.reserve(kPiece + kPiece / 4);
  session_.start_copy(Sql(copy_statement(target), where), options, PGRES_COPY_IN);
  under_way_ = true;
}

CopyIn::~CopyIn() {
  if (under_way_) abort();
}

void CopyIn::abort() noexcept {
  try {
    end("aborted by the client: an exception came instead of the next row");
  } catch (...) {
    // The server answers this with an error; a broken connection shows by itself.
    if (session_.observed_) session_.observed()->excuse();
  }
}

bool CopyIn::end_row() {
  for (std::size_t i = 0; i < row_.count(); ++i) {
    if (i > 0) data_ += '\t';
    const char* value = row_.value(i);
    if (value == nullptr) {
      data_ += "\\N";
      continue;
    }
    const std::string_view text(value, static_cast<std::size_t>(row_.lengths()[i]));
    row_.formats()[i] == 0 ? append_copy_text(data_, text) : append_copy_bytes(data_, text);
  }
  if (verb_.ends_all()) return false;
  data_ += '\n';
  ++lines_;
  return data_.size() < kPiece || send();
}

// Sends what there is when the socket has room for it; false when the COPY has ended instead.
bool CopyIn::send() {
  PGconn* connection = session_.native();
  const NonBlocking mode(connection);
  for (short seen = 0; (seen & POLLOUT) == 0;) {
    over_ = !session_.await_room(seen);
    if (over_) return false;
    if ((seen & ~POLLOUT) == 0) continue;
    over_ = is_error_report_next(PQsocket(connection)) || PQconsumeInput(connection) == 0;
    if (over_) return false;
  }
  for (std::string_view rest = data_; !rest.empty() && !over_;) {
    const std::string_view slice = rest.substr(0, kSlice);
    over_ = PQputCopyData(connection, slice.data(), static_cast<int>(slice.size())) != 1;
    session_.await_sent();
    rest.remove_prefix(slice.size());
  }
  if (session_.observed_ && !over_) session_.observed()->copied(data_.size());
  data_.clear();
  return !over_;
}

// Tells the server that no more data comes; with a refusal, that it must drop all of it. Reads the
// answer. Throws when the answer is an error.
ResultPtr CopyIn::end(const char* refusal) {
  under_way_ = false;
  const Session::LeavingCopy leaving{session_};
  PGconn* connection = session_.native();
  const NonBlocking mode(connection);
  int ended = 0;
  while (ended == 0 && PQstatus(connection) == CONNECTION_OK &&
         !session_.has(Session::Flag::broken)) {
    ended = PQputCopyEnd(connection, refusal);
    if (ended == 0) session_.await_sent();
  }
  if (ended < 0) session_.set_broken(last_words(connection));
  return session_.collect();
}

std::uint64_t CopyIn::finish() {
  if (verb_.ends_all()) {
    abort();
    session_.throw_usage("copy_in: its range has ended the lease or the connection");
  }
  if (!over_ && !data_.empty()) send();
  const ResultPtr result = end(over_ ? "aborted by the client: out of time, or refused" : nullptr);
  const char* count = PQcmdTuples(result.get());
  std::uint64_t rows = 0;
  std::from_chars(count, count + std::strlen(count), rows);
  return rows;
}

}  // namespace tidegate::pq
