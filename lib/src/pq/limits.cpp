// What ends a statement early: its deadline, its stop_token, and those of bound(). At the first
// limit the server is asked to cancel, and its answer is awaited for drain_bound at most, so that
// the connection is usable afterwards. After that time the connection is given up.
#include <libpq-fe.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include <tidegate/base/duration.hpp>
#include <tidegate/pq/errors.hpp>

#include "pq/editions.hpp"
#include "pq/forked_descriptors.hpp"
#include "pq/session.hpp"

namespace tidegate::pq {
namespace {

// How far the waits have grown when a server behind a pooler has had its time: 150 ms after the
// first request.
constexpr std::chrono::milliseconds kQueued = 2 * StatementLimits::kAskAgain;

}  // namespace

void Session::arm_limits() {
  if (limits_.arm(options_)) return;
  throw_usage("cannot watch a stop_token, no eventfd: " + std::generic_category().message(errno));
}

// Flushes and reads until PQgetResult() would not block, within the limits. The first limit that is
// reached cancels the statement; then this goes on for the server's answer to the cancel.
void Session::await_answer() noexcept {
  int unsent = PQflush(native());
  while (PQstatus(native()) == CONNECTION_OK && !has(Flag::broken) &&
         (unsent == 1 || PQisBusy(native()) != 0)) {
    // Reads while there is something to write: else both sides might wait for each other.
    await_socket(unsent == 1 ? POLLIN | POLLOUT : POLLIN);
    unsent = PQflush(native());
  }
}

// Waits and reads once, within the limits.
void Session::await_socket(short events) noexcept {
  for (;;) {
    keep_to_limits();
    const Waited waited = wait_and_read(events, limits_.wait_until(), limits_.watched_bell());
    if (waited == Waited::ready) return;
    if (waited == Waited::woken) strike(Limit::stop);
  }
}

// Checked before each wait: where there is always something to read, no wait ends by time.
void Session::keep_to_limits() noexcept {
  if (!limits_.has_struck()) {
    if (limits_.by().passed()) strike(Limit::deadline);
  } else if (limits_.is_answer_overdue()) {
    give_up_canceling();
  } else if (limits_.is_time_to_ask()) {
    ask_to_cancel();
  }
}

void Session::strike(Limit why) noexcept {
  note_strike(why);
  limits_.begin_asking();
  ask_to_cancel();
}

void Session::note_strike(Limit why) noexcept {
  limits_.strike(why);
  target().mark();
}

void Session::ask_to_cancel() noexcept {
  // A pooler takes the cancel of a statement that waits in its queue, and does nothing. It takes
  // the statement out of its queue when the connection ends.
  const bool taken = target().reached() >= CancelTarget::Reached::reset;
  if (target().pooled() && taken && limits_.asks_after() > kQueued) {
    return give_up(
        "the pooler took the cancel request and nothing came of it: the statement may "
        "have waited in its queue");
  }
  limits_.asked();
  if (!cancel()) give_up("no thread could be created to cancel the statement");
}

// libpq sees the end of the session at once, and so does whoever waits for its socket. The server
// learns that we say no more. A duplicate of the socket still shows when the server ends its side
// (Termination): its process may live on, so the socket itself must not look as if it had ended.
void Session::give_up(std::string_view why) noexcept {
  limits_.give_up();
  set_broken(why);
  if (limits_.sending() < 0)
    cut_off();  // else libpq is another thread's for the moment (send_beside)
}

void Session::cut_off() noexcept {
  const int socket = PQsocket(native());
  ::shutdown(socket, SHUT_WR);
  if (!cut_off_socket(socket)) ::shutdown(socket, SHUT_RDWR);  // no descriptor left
}

void Session::give_up_unanswered(std::string_view what) noexcept {
  try {
    give_up(std::string(what) + " within " + brief_duration(limits_.drain_bound()));
  } catch (const std::bad_alloc&) {
    give_up(what);
  }
}

// Says what is known of the requests by now. One that is still on its way counts as stuck.
void Session::give_up_canceling() noexcept {
  using Reached = CancelTarget::Reached;
  const Reached reached = target().reached();
  try {
    shared_->cancels->canceller().wait(target(), Deadline::now());
  } catch (const std::bad_alloc&) {
    // Then the request is not counted.
  }
  if (target().pooled() && reached >= Reached::reset) {  // as in ask_to_cancel()
    return give_up_unanswered(
        "the pooler took the cancel request, but the statement, which may have waited in its "
        "queue, was not answered");
  }
  switch (reached) {
    case Reached::nothing:
      return give_up_unanswered("no cancel request could be sent to the server");
    case Reached::sent: return give_up_unanswered("the server did not answer the cancel request");
    case Reached::reset:
      return give_up_unanswered(
          "the cancel request was sent, and its connection reset: its outcome is unknown; the "
          "server "
          "did not answer the statement");
    case Reached::answered:
      return give_up_unanswered(
          "the server took the cancel request, but did not answer the statement");
  }
}

// Throws when a limit has been reached before anything was sent.
void Session::refuse_if_over(std::string_view waited_for) {
  const Limit why = limits_.reached(options_);
  if (why == Limit::none) return;
  limits_.disarm(options_);
  std::string text =
      why == Limit::stop ? "the statement's stop was requested" : "the statement's deadline passed";
  text.append(waited_for).append("; nothing was sent");
  throw_ended(why, {.message = std::move(text)});
}

void Session::settle(const ExecOptions& options, Location where) {
  refuse_in_verb(where);
  if (!has(Flag::pinging)) return;
  const Verb verb(*this);
  begin(Sql("", where), options);
  limits_.disarm(options_);
  require_going_on();
}

// Waits for the answer to an earlier ping.
void Session::settle_ping() {
  if (ping_until(limits_.by(), limits_.bell()) == PingResult::pending) {
    refuse_if_over(" while the answer to an earlier ping was awaited");
  }
}

// Until when the requests that were sent are waited for. One that has had its effect may strike a
// second time, but soon, whatever becomes of its own connection.
Deadline Session::end_of_cancels() const {
  return cancels_used_up() ? Deadline(cancel_echo()) : Deadline(limits_.drain_bound());
}

// A cancel that was sent for an earlier statement must not strike this one. The cancel is over when
// the server has closed its connection and then answered an empty statement. Where that does not
// tell, the end of the lease settles the cancel (SessionReset); where nothing does, the connection
// ends with the lease. Until then the lease goes on, since its holder asked for the cancel.
void Session::settle_cancels() {
  try {
    shared_->cancels->canceller().wait(target(), earlier(limits_.by(), end_of_cancels()));
  } catch (const std::bad_alloc&) {
    // Then the cancel is still pending, below.
  }
  refuse_if_over(" while an earlier cancel was under way");
  if (ping_until(earlier(limits_.by(), limits_.drain_bound()), limits_.bell()) ==
      PingResult::pending) {
    refuse_if_over(" while an earlier cancel was under way");
    give_up_unanswered("the server did not answer after a cancel");
    return;
  }
  const CancelTrace trace = cancel_trace();
  const bool over = trace == CancelTrace::delivered || trace == CancelTrace::taken;
  if (over && !cancels_used_up() && cancel_quiet() != std::chrono::milliseconds(0)) {
    owes_quiet_ = true;  // over for the rest of the lease; the reset waits
  }
  if (!over && cancels_used_up()) {
    forget_cancels();
  } else {
    cancel_settled();
  }
  if (!target().asked()) return;
  set(Flag::doomed);
  in_doubt_ = true;
}

// Before libpq's handle is used beside us: a statement that is made with it would take the blow,
// and its user could not tell it from a cancel of their own. PostgreSQL signals its process twice
// for one request, so one that has had its effect may still strike. Bounded as settle_cancels() is.
void Session::await_cancels() noexcept {
  if (!has(Flag::canceled) || in_doubt_ || !target().asked()) return;
  try {
    shared_->cancels->canceller().wait(target(), end_of_cancels());
  } catch (const std::bad_alloc&) {
    // Then it may strike.
  }
}

void Session::throw_not_run() {
  throw_ended(limits_.struck(),
              {.message = limits_.struck() == Limit::stop
                              ? "the statement's stop was requested before it was run"
                              : "the statement's deadline passed before it was run"});
}

void Session::throw_ended(Limit why, QueryReport report) {
  // With a code the server has canceled it; without one, and nothing more, it has not.
  if (limits_.given_up()) {
    // The server may have begun its answer, with an error that nobody will hear of again.
    std::string said;
    if (!report.sqlstate.empty()) {
      said =
          "the server had said " + report.severity + ' ' + report.sqlstate + ": " + report.message;
    }
    report = {.message = (why == Limit::stop ? "the statement's stop was requested, "
                                             : "the statement's deadline passed, ") +
                         std::string(broken_reason()) +
                         "; the connection is given up, and whether the statement has taken "
                         "effect is not known",
              .detail = std::move(said),
              .outcome_unknown = true};
  } else if (!report.sqlstate.empty()) {
    report.message = why == Limit::deadline ? "the statement's deadline passed, it was canceled"
                     : why == Limit::stop   ? "the statement's stop was requested, it was canceled"
                                            : "the statement was canceled by another thread: by "
                                              "Connection::cancel(), or a pool that closes";
  }
  report.statement = without_edition(statement_);
  tell_failure(why == Limit::deadline ? Errc::timeout : Errc::canceled, &report);
  if (why == Limit::deadline) throw QueryTimeout(std::move(report), where_);
  throw QueryCanceled(std::move(report), where_);
}

}  // namespace tidegate::pq
