#include <tidegate/pq/connection.hpp>

#include <libpq-fe.h>

#include <string>
#include <utility>

#include <tidegate/base/error.hpp>
#include <tidegate/pq/errors.hpp>

#include "pq/session.hpp"

namespace tidegate {

Connection::Connection(std::unique_ptr<pq::Session> session) noexcept : state_(session.release()) {
  if (state_ != nullptr) state_->belongs_to(this);
}

Connection& Connection::operator=(Connection&& other) noexcept {
  Connection taken(std::move(other));
  std::swap(state_, taken.state_);
  if (state_ != nullptr) state_->belongs_to(this);
  return *this;
}

void Connection::close() noexcept {
  auto* const session = static_cast<pq::Session*>(std::exchange(state_, nullptr));
  // libpq would send Terminate to a server that still talks with our parent, and what another
  // thread of the parent was changing is not whole here: the child leaves the session as it is.
  if (session == nullptr || session->inherited()) return;
  if (session->verb() != nullptr) return session->close_behind_verb();
  delete session;
}

// Needs: not closed.
pq::Session& Connection::session() const noexcept { return static_cast<pq::Session&>(*state_); }

pq::Session& Connection::open_session(Location where) const {
  if (state_ == nullptr) throw UsageError("the connection is closed, or was moved from", where);
  if (session().inherited()) {
    throw Forked(
        "the connection was inherited by fork(): only the process that opened it may use it"
        "\n  hint: open connections, or make the pool, after fork()",
        where);
  }
  return session();
}

// Also refuses while a verb is under way.
pq::Session& Connection::free_session(Location where) const {
  pq::Session& session = open_session(where);
  session.refuse_in_verb(where);
  return session;
}

Params& Connection::start(const pq::Verb& verb, Sql sql, const ExecOptions& options) {
  Params& params = verb.session().start(sql, options);
  verb.session().require_going_on();
  return params;
}

Rows Connection::run(const pq::Verb& verb) {
  verb.session().require_going_on();
  return Rows(verb.session().run());
}

void Connection::stream(const pq::Verb& verb, bool (*sink)(void*, const Row&), void* context) {
  verb.session().require_going_on();
  verb.session().stream(sink, context);
}

void Connection::prepare(Sql sql) { free_session(sql.where()).prepare_only(sql); }

std::vector<Notification> Connection::notifications(Deadline deadline, const std::stop_token& stop,
                                                    Location where) {
  return free_session(where).notifications(deadline, stop, where);
}

void Connection::exec_script(const ExecOptions& options, Sql sql) {
  free_session(sql.where()).run_script(sql, options);
}

bool Connection::ping(Deadline deadline, const std::stop_token& stop) noexcept {
  return state_ != nullptr && session().ping(deadline, stop) == pq::PingResult::alive;
}

bool Connection::cancel() const noexcept { return state_ != nullptr && session().cancel(); }

Activity Connection::activity() const {
  return state_ == nullptr ? Activity{} : session().activity();
}

TransactionStatus Connection::transaction_status() const noexcept {
  return state_ == nullptr ? TransactionStatus::unknown : pq::transaction_of(session().native());
}

int Connection::backend_pid() const noexcept {
  return state_ == nullptr ? 0 : session().backend_pid();
}

bool Connection::through_pooler() const noexcept {
  return state_ != nullptr && session().through_pooler();
}

std::optional<std::string> Connection::parameter_status(const std::string& name) const {
  const char* value = nullptr;
  if (state_ != nullptr) value = PQparameterStatus(session().native(), name.c_str());
  if (value == nullptr) return std::nullopt;
  return value;
}

void Connection::set_notice_handler(NoticeHandler handler) {
  open_session({}).set_notice_handler(std::move(handler));
}

pg_conn* Connection::native_handle() noexcept {
  return state_ == nullptr ? nullptr : session().hand_out();
}

}  // namespace tidegate
