// What batches and COPY need of the session beyond one statement and its answer: sending that goes
// on while the server answers, and data that comes without end.
#include <libpq-fe.h>
#include <poll.h>

#include "pq/non_blocking.hpp"
#include "pq/session.hpp"
#include "pq/wait.hpp"

namespace tidegate::pq {

// Sends it and reads up to where the data begins (`direction`: PGRES_COPY_IN or PGRES_COPY_OUT).
void Session::start_copy(const Sql& sql, const ExecOptions& options, int direction) {
  begin(sql, options);
  const NonBlocking mode(native());
  mid_answer_ = false;
  if (PQsendQuery(native(), statement_.c_str()) == 0) throw_unsent();
  await_result(Deadline::never());
  ResultPtr first(PQgetResult(native()));
  if (first != nullptr && PQresultStatus(first.get()) == direction) {
    mid_answer_ = true;
    return;
  }
  if (first != nullptr) note_end_of_session(first.get());
  while (PQstatus(native()) == CONNECTION_OK) {
    await_result(Deadline::never());
    const ResultPtr more(PQgetResult(native()));
    if (more == nullptr) break;
    note_end_of_session(more.get());
  }
  require_success(first.get(), false);
  throw_usage("the server has not begun a COPY");
}

// Until all that libpq holds back is written. What the server says meanwhile is read, or both sides
// might wait for each other.
bool Session::await_sent(Deadline deadline) noexcept {
  while (PQstatus(native()) == CONNECTION_OK && PQflush(native()) == 1) {
    if (!wait_and_read(POLLIN | POLLOUT, deadline)) return false;
  }
  return true;
}

// Until something was read.
bool Session::await_data(Deadline deadline) noexcept { return wait_and_read(POLLIN, deadline); }

// Until the socket has one of `events`, without reading; which; 0 when the deadline passed first.
short Session::await_ready(short events, Deadline deadline) noexcept {
  short seen = 0;
  wait_for(PQsocket(native()), events, -1, deadline, seen);
  return seen;
}

}  // namespace tidegate::pq
