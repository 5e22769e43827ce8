#include "pq/connect/session_attrs.hpp"

#include <libpq-fe.h>
#include <poll.h>

#include "pq/result.hpp"
#include "pq/session.hpp"
#include "pq/wait.hpp"

namespace tidegate::pq {
SessionAttrs::SessionAttrs(std::string_view value) noexcept {
  if (value == "read-write") wanted_ = Wanted::read_write;
  if (value == "read-only") wanted_ = Wanted::read_only;
  if (value == "primary") wanted_ = Wanted::primary;
  if (value == "standby") wanted_ = Wanted::standby;
}

// `is`: the answer to its question: is it a standby, or does it take no writes?
SessionAttrs::Look SessionAttrs::judge(bool is) const {
  const char* text = nullptr;
  switch (wanted_) {
    case Wanted::any: break;
    case Wanted::read_write: text = is ? "session is read-only" : nullptr; break;
    case Wanted::read_only: text = is ? nullptr : "session is not read-only"; break;
    case Wanted::primary: text = is ? "server is in hot standby mode" : nullptr; break;
    case Wanted::standby: text = is ? nullptr : "server is not in hot standby mode"; break;
  }
  if (text == nullptr) return {};
  return {.verdict = Verdict::does_not, .text = text};
}

SessionAttrs::Look SessionAttrs::look(PGconn* connection, int wake_fd, Deadline deadline) const {
  const bool of_writes = wanted_ == Wanted::read_write || wanted_ == Wanted::read_only;
  const char* const question =
      of_writes ? "SHOW transaction_read_only" : "SELECT pg_catalog.pg_is_in_recovery()";
  PQsetnonblocking(connection, 1);
  ResultPtr answer;
  int unsent = PQsendQuery(connection, question) == 1 ? PQflush(connection) : -1;
  while (unsent >= 0) {
    if (unsent == 0 && PQisBusy(connection) == 0) {
      ResultPtr next(PQgetResult(connection));
      if (next == nullptr) break;
      if (answer == nullptr || !is_error(answer.get())) answer = std::move(next);
      continue;
    }
    const short events = unsent == 1 ? POLLIN | POLLOUT : POLLIN;
    short seen = 0;
    switch (wait_for(PQsocket(connection), events, wake_fd, deadline, seen)) {
      case Waited::woken: return {.verdict = Verdict::woken};
      case Waited::timed_out: return {.verdict = Verdict::timed_out};
      case Waited::ready: break;
    }
    if (PQconsumeInput(connection) == 0) break;
    unsent = PQflush(connection);
  }
  if (PQntuples(answer.get()) == 1 && PQnfields(answer.get()) == 1) {
    const std::string_view said = PQgetvalue(answer.get(), 0, 0);
    return judge(said == "on" || said == "t");
  }
  std::string text(last_words(connection));
  return {.verdict = Verdict::does_not, .text = "cannot tell what the server is: " + text};
}

}  // namespace tidegate::pq
