#include "pq/session_reset.hpp"

#include <libpq-fe.h>
#include <poll.h>

#include <charconv>
#include <string_view>
#include <utility>

#include "pq/peer.hpp"
#include "pq/pool_access.hpp"
#include "pq/session.hpp"
#include "pq/wait.hpp"

namespace tidegate::pq {
namespace {

using Flag = SessionState::Flag;

// One step reads at most so many results and rows, so that a server that never stops talking does
// not keep other connections waiting.
constexpr int kMostPerStep = 1'000;

bool writable(int socket) noexcept {
  short seen = 0;
  return wait_for(socket, POLLOUT, -1, Deadline::now(), seen) == Waited::ready;
}

}  // namespace

SessionReset::Result SessionReset::step(Connection& connection) noexcept {
  if (!connection.is_open()) return Result::failed;
  Session& session = PoolAccess(connection).session();
  session.mark_use();
  if (step_ == Step::begin) {
    if (session.role() == Role::standby) return Result::demoted;
    if (!begin(session)) return Result::failed;
  }
  for (;;) {
    switch (drain(session)) {
      case Drained::dead: return Result::failed;
      case Drained::pending:
        if (step_ == Step::drain) ask_to_cancel(session);
        events_ = PQflush(session.native()) == 1 ? POLLIN | POLLOUT : POLLIN;
        return Result::pending;
      case Drained::done: break;
    }
    session.clear(Flag::pinging);
    if (asked_to_cancel_) session.end_statement();
    asked_to_cancel_ = false;
    if (const Result awaited = await_cancels(session); awaited != Result::clean) return awaited;
    const Result result = next(session);
    if (result != Result::pending || quiet_ == Quiet::now) return result;
  }
}

std::chrono::milliseconds SessionReset::quiet(Connection& connection) const noexcept {
  const std::chrono::milliseconds none{0};
  if (quiet_ != Quiet::now) return none;
  Session& session = PoolAccess(connection).session();
  return step_ == Step::quiet ? session.cancel_quiet().value_or(none) : session.cancel_echo();
}

bool SessionReset::begin(Session& session) noexcept {
  PGconn* const native = session.native();
  if (session.has(Flag::doomed)) return false;
  session.set(Flag::touched);
  if (session.has(Flag::native)) {
    // Leaving blocking mode sends what the user's code left unsent, and waits if there is no room.
    if (!writable(PQsocket(native)) || !session.take_back()) return false;
  }
  // Ends a pipeline with a sync of ours, whatever was sent before.
  if (PQpipelineStatus(native) != PQ_PIPELINE_OFF && PQpipelineSync(native) == 0) return false;
  session.mid_answer_ = true;  // of what was sent before, something may have been read
  step_ = Step::drain;
  return true;
}

// Nobody needs what still runs when a lease has ended. An earlier ping ends by itself.
void SessionReset::ask_to_cancel(Session& session) noexcept {
  if (session.has(Flag::pinging)) return;
  if (!asked_to_cancel_) {
    asked_to_cancel_ = true;
    session.limits_.begin_asking();
    session.target().begin_statement();
  } else if (!session.limits_.is_time_to_ask()) {
    return;
  }
  session.limits_.asked();
  session.cancel();
}

// Clean: the connections of the cancels have ended, or nobody needs to wait for them.
SessionReset::Result SessionReset::await_cancels(Session& session) noexcept {
  const CancelTrace trace = session.cancel_trace();
  if (trace != CancelTrace::pending && trace != CancelTrace::doubtful) {
    if (step_ != Step::quiet) quiet_ = Quiet::none;
    return Result::clean;
  }
  events_ = 0;
  if (!session.cancels_used_up()) {
    return trace == CancelTrace::doubtful ? Result::stray : Result::pending;
  }
  if (quiet_ == Quiet::none) quiet_ = Quiet::now;
  if (quiet_ == Quiet::now) return Result::pending;
  quiet_ = Quiet::none;
  session.forget_cancels();
  return session.cancel_trace() == CancelTrace::none ? Result::clean : Result::pending;
}

// Reads the answers to all that was sent, as far as they have come.
SessionReset::Drained SessionReset::drain(Session& session) noexcept {
  PGconn* const native = session.native();
  for (int results = 0; results < kMostPerStep; ++results) {
    if (copying_out_) {
      const Drained copied = drain_copy_out(session);
      if (copied != Drained::done) return copied;
      copying_out_ = false;
    }
    if (!session.await_result(Deadline::now())) return Drained::pending;
    const ResultPtr result(PQgetResult(native));
    if (PQstatus(native) != CONNECTION_OK) {
      session.set_broken(last_words(native));
      return Drained::dead;
    }
    if (!result) {
      // In pipeline mode null ends the results of one statement, otherwise of all.
      if (PQpipelineStatus(native) == PQ_PIPELINE_OFF) return Drained::done;
      if (PQexitPipelineMode(native) == 1) return Drained::done;
      continue;
    }
    session.note_end_of_session(result.get());
    // DISCARD ALL also drops the prepared statements.
    session.note_command(result.get(), {}, nullptr);
    switch (PQresultStatus(result.get())) {
      case PGRES_COPY_OUT: copying_out_ = true; break;
      case PGRES_COPY_IN:
        if (PQputCopyEnd(native, "given up: its lease has ended") < 0) return Drained::dead;
        break;
      case PGRES_COPY_BOTH: return Drained::dead;
      case PGRES_PIPELINE_SYNC:
        if (PQexitPipelineMode(native) == 1) return Drained::done;
        break;
      case PGRES_BAD_RESPONSE:
      case PGRES_FATAL_ERROR: refused_ = true; break;
      case PGRES_TUPLES_OK:
        if (PQntuples(result.get()) == 1) {
          const std::string_view said = PQgetvalue(result.get(), 0, 0);
          says_yes_ = said == "t";
          std::from_chars(said.data(), said.data() + said.size(), said_);
        }
        break;
      default: break;
    }
    if (session.has(Flag::broken)) return Drained::dead;
  }
  return Drained::pending;
}

SessionReset::Drained SessionReset::drain_copy_out(Session& session) noexcept {
  for (int rows = 0; rows < kMostPerStep; ++rows) {
    char* data = nullptr;
    const int size = PQgetCopyData(session.native(), &data, 1);
    if (size < 0) return Drained::done;  // its result tells how it ended
    PQfreemem(data);
    if (size == 0 && session.wait_and_read(POLLIN, Deadline::now(), -1) != Waited::ready) {
      return Drained::pending;
    }
    if (PQstatus(session.native()) != CONNECTION_OK) return Drained::done;
  }
  return Drained::pending;
}

// The answer to `step_` is complete: sends what comes next, or ends the reset.
SessionReset::Result SessionReset::next(Session& session) noexcept {
  const PGTransactionStatusType status = PQtransactionStatus(session.native());
  switch (step_) {
    case Step::begin:
    case Step::drain:
      // Every cancel has been delivered. What a cancel still does, it does to this empty statement.
      if (session.cancel_trace() != CancelTrace::none) return send(session, Step::absorb, "");
      [[fallthrough]];
    case Step::absorb:
      if (status == PQTRANS_INTRANS || status == PQTRANS_INERROR) {
        return send(session, Step::roll_back, "rollback");
      }
      [[fallthrough]];
    case Step::roll_back:
    case Step::ask_peer:
    case Step::quiet:
    case Step::settle:
      if (status != PQTRANS_IDLE) return Result::failed;
      if (session.owes_quiet_ || session.cancel_trace() != CancelTrace::none) {
        const Result settled = settle_cancels(session);
        if (settled != Result::clean) return settled;
      }
      if (order_.verify) return send(session, Step::verify, "");
      [[fallthrough]];
    case Step::verify:
      if (status != PQTRANS_IDLE) return Result::failed;
      if (order_.discard_all) return send(session, Step::discard, "discard all");
      [[fallthrough]];
    case Step::discard:
      if (step_ == Step::discard && refused_) return Result::failed;
      if (session.role() == Role::doubtful) {
        return send(session, Step::ask_role, session.role_question());
      }
      [[fallthrough]];
    case Step::ask_role:
      if (step_ != Step::ask_role) break;
      if (refused_) return Result::failed;
      if (says_yes_) return Result::demoted;
      session.role_settled();
  }
  if (session.role() == Role::standby) return Result::demoted;
  return session.end_touched_lease() ? Result::clean : Result::failed;
}

// What a cancel may still do, it does in the quiet, to nobody, or to the empty statement after it.
// Clean: the cancels are over.
SessionReset::Result SessionReset::settle_cancels(Session& session) noexcept {
  if (step_ == Step::ask_peer) session.note_peer(said_);
  const auto quiet = session.cancel_quiet();
  if (!quiet) return send(session, Step::ask_peer, kPeerQuestion);
  if (step_ == Step::settle || *quiet == std::chrono::milliseconds(0)) {
    session.owes_quiet_ = false;
    session.cancel_settled();
    return Result::clean;
  }
  if (step_ != Step::quiet) {
    step_ = Step::quiet;
    quiet_ = Quiet::now;
  }
  if (quiet_ == Quiet::now) {
    events_ = 0;
    return Result::pending;
  }
  quiet_ = Quiet::none;
  return send(session, Step::settle, "");
}

// Pending: it was sent, and its answer is to be drained.
SessionReset::Result SessionReset::send(Session& session, Step step, const char* sql) noexcept {
  step_ = step;
  refused_ = says_yes_ = false;
  said_ = 0;
  session.mid_answer_ = false;
  return PQsendQuery(session.native(), sql) == 1 ? Result::pending : Result::failed;
}

}  // namespace tidegate::pq
