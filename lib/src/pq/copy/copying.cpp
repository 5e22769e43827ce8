// What batches and COPY need beyond one statement and its answer: sending that goes on while the
// server answers, and data without end. Within the statement's limits.
#include <libpq-fe.h>
#include <poll.h>

#include <chrono>
#include <utility>

#include "pq/session.hpp"

namespace tidegate::pq {
namespace {

// How soon a server answers once told that no more data comes; then it is asked to cancel.
constexpr std::chrono::milliseconds kAnswersSoon{50};

}  // namespace

// Sends the statement and reads up to where the data begins (`direction`: PGRES_COPY_IN or
// PGRES_COPY_OUT). leave_copy() then ends the statement.
void Session::start_copy(const Sql& sql, const ExecOptions& options, int direction) {
  begin(sql, options);
  tell_start();
  try {
    const NonBlocking mode(native());
    begin_statement();
    send_text();
    const ResultPtr first = next_result(true);
    copying_ = first != nullptr && PQresultStatus(first.get()) == direction;
    if (copying_) return;
    if (is_copy(first.get())) not_asked_for("a COPY");
    while (next_result() != nullptr) not_asked_for("an answer");
    require_success(has(Flag::broken) && !is_error(first.get()) ? nullptr : first.get(), false);
    throw_usage("the server has not begun a COPY");
  } catch (...) {
    end_statement();
    throw;
  }
}

void Session::leave_copy() noexcept {
  copying_ = false;
  end_statement();
}

// Waits until all that libpq holds back is written. Reads what the server says meanwhile, because
// both sides might wait for each other otherwise.
void Session::await_sent() noexcept {
  while (PQstatus(native()) == CONNECTION_OK && !has(Flag::broken) && PQflush(native()) == 1) {
    await_socket(POLLIN | POLLOUT);
  }
}

// Waits until the socket takes data or has some, without reading it; false at the first limit. A
// COPY that waits for data needs no cancel request to end, only a refusal instead of the data.
bool Session::await_room(short& seen) noexcept {
  Waited waited = Waited::timed_out;
  if (!limits_.by().passed()) {
    waited = wait_for(PQsocket(native()), POLLIN | POLLOUT, limits_.bell(), limits_.by(), seen);
  }
  if (waited == Waited::ready) return true;
  note_strike(waited == Waited::woken ? Limit::stop : Limit::deadline);
  limits_.ask_in(kAnswersSoon);
  return false;
}

// For data that comes so fast that nobody waits for it. Reads no clock if there is no deadline.
void Session::strike_if_over() noexcept {
  if (limits_.has_struck()) return;
  const Limit why = limits_.reached(options_);
  if (why != Limit::none) strike(why);
}

// Throws away the rest of the data: what has come already and, if that is not the end, what comes
// before the server has canceled the COPY.
void Session::drain_copy_out() noexcept {
  for (int size = 1; size > 0;) {
    char* data = nullptr;
    size = PQgetCopyData(native(), &data, 1);
    PQfreemem(data);
    if (size < 0) return;
  }
  if (has(Flag::broken)) return;
  if (!limits_.has_struck()) strike(Limit::stop);
  end_copy(PGRES_COPY_OUT);
}

// Reads what follows the data, up to the end of the command; throws if that is an error.
ResultPtr Session::collect() {
  Answer answer = read_answer(nullptr);
  require_success(answer.result.get(), answer.copied);
  return std::move(answer.result);
}

}  // namespace tidegate::pq
