#include "pq/session.hpp"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include <tidegate/base/error.hpp>
#include <tidegate/pq/connect.hpp>

#include "pq/connect/pooler.hpp"
#include "pq/forked_descriptors.hpp"

namespace tidegate::pq {
namespace {

// After that many reads in a row, a server that goes on sending counts as alive.
constexpr int kReadings = 4;

// A pooler that hands out the server's own key may close the connection of a request before the
// server has seen it: by 13 ms at most, where that was measured (pgagroal, on a busy machine).
constexpr std::chrono::milliseconds kCancelQuiet{250};
// For a request that has had its effect: only the time between two calls of kill() is left.
constexpr std::chrono::milliseconds kCancelEcho{50};

// Used where ConnectOptions do not say.
constexpr std::uint32_t kStatementCache = 256;

bool ends_session(std::string_view severity) noexcept {
  return severity == "FATAL" || severity == "PANIC";
}

// Errors after which a session is not worth keeping, though it may go on: 57P01-03 and class 08,
// except 08P01, with which the server also reports a wrong number of parameters.
bool spoils_session(std::string_view sqlstate) noexcept {
  return sqlstate == "57P01" || sqlstate == "57P02" || sqlstate == "57P03" ||
         (sqlstate.starts_with("08") && sqlstate != "08P01");
}

const char* c_field(const PGresult* result, int code) noexcept {
  const char* text = PQresultErrorField(result, code);
  return text != nullptr ? text : "";
}

// Whether it is an error or a notice; a success has none of the fields below.
bool is_report(const PGresult* result) noexcept {
  return is_error(result) || PQresultStatus(result) == PGRES_NONFATAL_ERROR;
}

const char* severity_of(const PGresult* result) noexcept {
  const char* severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  return severity != nullptr ? severity : c_field(result, PG_DIAG_SEVERITY);
}

}  // namespace

Session::Session(NativePtr native, NoticeHandler on_notice) : native_(std::move(native)) {
  install_callbacks();
  if (!on_notice) return;
  seldom_ = std::make_unique<Seldom>();
  seldom_->standing = std::move(on_notice);
  seldom_->of_login = true;
}

void Session::install_callbacks() noexcept {
  PQsetNoticeReceiver(native_.get(), &Session::receive_notice, this);
}

void Session::opened(const ConnectOptions& options, CancelKey key) {
  PQsetErrorVerbosity(native_.get(), PQERRORS_DEFAULT);
  PQsetnonblocking(native_.get(), 1);
  backend_pid_ = PQbackendPID(native_.get());
  limits_.set_drain_bound(options.drain_bound);
  const Pooler pooler = pooler_of(native_.get());
  pooled_ = pooler.between;
  shares_names_ = pooler.shares;
  forgets_ = pooler.forgets;
  cache_.set_capacity(options.statement_cache.value_or(pooled_ ? 0 : kStatementCache));
  cache_.set_trusted_for(static_cast<std::uint32_t>(
      std::clamp<std::chrono::seconds::rep>(options.statement_trust.count(), 0, 1 << 30)));
  const auto cancels = options.cancels ? options.cancels : std::make_shared<CancelGroup>();
  const auto target = std::make_shared<CancelTarget>(
      CancelServer::at(cancels->books(), server_address(native_.get())), std::move(key), pooled_);
  shared_ = std::make_shared<SharedSession>(cancels, target, backend_pid_);
  if (options.queries != nullptr) observe(options.queries);
  at_fork_.begin(&Session::in_child, this);
}

// No byte that the child sends, on whatever way, reaches the server. The flags bring every end of a
// lease to the slow path, which does nothing in a child.
void Session::in_child(void* session) noexcept {
  Session& self = *static_cast<Session*>(session);
  self.set(Flag::broken);
  self.set(Flag::doomed);
  self.set(Flag::inspected);
  cut_off_socket(PQsocket(self.native()));
  self.limits_.cut_off_in_child();
}

std::string_view Session::broken_reason() const noexcept {
  if (inherited()) return "it was inherited by fork()";
  return broken_ == nullptr ? std::string_view() : broken_->reason;
}

// Other threads may still look on and ask for a cancel: they find nothing to cancel.
Session::~Session() {
  at_fork_.end();
  leave_transaction();
  if (seldom_ != nullptr && inherited())
    (void)seldom_->attachment.release();  // the parent's loop's
  seldom_.reset();                        // before the socket is closed
  if (shared_ == nullptr) return;
  target().end_statement();
  shared_->mirror.end(TransactionStatus::unknown);
}

int Session::backend_pid() const noexcept {
  const int now = PQbackendPID(native());
  return now != 0 ? now : backend_pid_;
}

void Session::cancel_settled() noexcept {
  target().settle();
  if (target().asked()) return;
  if (!owes_quiet_) clear(Flag::canceled);
  in_doubt_ = false;
}

std::optional<std::chrono::milliseconds> Session::cancel_quiet() noexcept {
  if (const auto told = target().quiet()) return told;
  const bool used_up = cancels_used_up() && !owes_quiet_;
  const auto quiet = used_up ? kCancelEcho : kCancelQuiet;
  // PgBouncer (from 1.18 on) and Odyssey close the connection of a request when the server has
  // closed its own. Odyssey's reset means that, too, but others may mean something else.
  const bool is_told = used_up || (cancel_trace() == CancelTrace::delivered && !owes_quiet_);
  if (pooled_) return is_told ? std::chrono::milliseconds(0) : quiet;
  if (peer_ == Peer::unknown) peer_ = unix_peer(PQsocket(native()), backend_pid_);
  if (peer_ == Peer::unknown) return std::nullopt;
  return peer_ == Peer::server ? std::chrono::milliseconds(0) : quiet;
}

std::chrono::milliseconds Session::cancel_echo() const noexcept {
  return std::max(kCancelEcho, target().quiet().value_or(kCancelEcho));
}

void Session::forget_cancels() noexcept {
  try {
    shared_->cancels->canceller().forget(target());
  } catch (const std::bad_alloc&) {
    // They are waited for.
  }
  cancel_settled();
}

void Session::note_peer(std::uint16_t port_seen) noexcept {
  peer_ = tcp_peer(PQsocket(native()), port_seen);
}

void Session::cancel_left_running() noexcept {
  if (inherited() || has(Flag::pinging)) return;
  if (PQtransactionStatus(native()) != PQTRANS_ACTIVE) return;
  target().begin_statement();
  cancel();
  target().end_statement();
}

void Session::set_broken(std::string_view reason, std::string_view sqlstate) noexcept {
  set(Flag::broken);
  set(Flag::doomed);
  if (broken_ != nullptr || reason.empty()) return;  // the first reason is the cause
  try {
    broken_ = std::make_unique<const Broken>(
        Broken{.reason = std::string(reason), .sqlstate = std::string(sqlstate)});
  } catch (const std::bad_alloc&) {
    // No memory: broken without a reason.
  }
}

void Session::note_end_of_session(const PGresult* result) noexcept {
  if (!is_report(result)) return;
  const char* sqlstate = c_field(result, PG_DIAG_SQLSTATE);
  if (ends_session(severity_of(result))) {
    try {
      set_broken(std::string(sqlstate) + ": " + c_field(result, PG_DIAG_MESSAGE_PRIMARY), sqlstate);
    } catch (const std::bad_alloc&) {
      set_broken("");
    }
  } else if (spoils_session(sqlstate)) {
    set(Flag::doomed);
  } else if (std::string_view(sqlstate) == "25006") {
    refused_write_ = true;
  } else if (std::string_view(sqlstate) == "57014" && shared_ != nullptr && target().asked()) {
    // Other texts have other causes, statement_timeout for one. If the server speaks another
    // language, nobody assumes that it meant a request, which costs a round trip.
    constexpr std::string_view kOnRequest = "canceling statement due to user request";
    target().note_canceled(c_field(result, PG_DIAG_MESSAGE_PRIMARY) == kOnRequest);
  }
}

// What was on when the connection was opened was asked for, or is a pooler's greeting of another
// time.
void Session::watch_role() noexcept {
  watches_role_ = true;
  greeted_as_standby_ = says_on("in_hot_standby");
  refused_write_ = false;
  read_only_by_choice_ = read_only_from_start_ = says_on("default_transaction_read_only");
}

// A standby says so (PostgreSQL 14 and later; not through most poolers). A server that takes no
// more writes reports that its default has changed, which a session may have done itself; or it
// only refuses a write, which a transaction may have asked for.
Role Session::role() noexcept {
  if (!watches_role_) return Role::primary;
  if (!says_on("in_hot_standby")) {
    greeted_as_standby_ = false;
  } else if (!greeted_as_standby_) {
    return Role::standby;
  }
  const bool read_only = says_on("default_transaction_read_only");
  // If it was on from the start, a lease may switch it off, and a reset on again: no news.
  if (!read_only) read_only_by_choice_ = read_only_from_start_;
  return refused_write_ || (read_only && !read_only_by_choice_) ? Role::doubtful : Role::primary;
}

bool Session::says_on(const char* parameter) const noexcept {
  const char* value = PQparameterStatus(native_.get(), parameter);
  return value != nullptr && std::string_view(value) == "on";
}

const char* Session::role_question() const noexcept {
  if (read_only_by_choice_) return "select pg_catalog.pg_is_in_recovery()";
  return "select pg_catalog.pg_is_in_recovery() or (select setting = 'on' and "
         "source not in "
         "('session', 'client') from pg_catalog.pg_settings "
         "where name = 'default_transaction_read_only')";
}

void Session::role_settled() noexcept {
  refused_write_ = false;
  read_only_by_choice_ = read_only_from_start_ || says_on("default_transaction_read_only");
}

// Called by libpq, through which no exception may pass.
void Session::receive_notice(void* session, const PGresult* notice) {
  static_cast<Session*>(session)->receive(notice);
}

void Session::receive(const PGresult* notice) noexcept {
  // libpq passes on as notices what the server says between statements, its last words too.
  note_end_of_session(notice);
  notify({.severity = severity_of(notice),
          .sqlstate = c_field(notice, PG_DIAG_SQLSTATE),
          .message = c_field(notice, PG_DIAG_MESSAGE_PRIMARY),
          .detail = c_field(notice, PG_DIAG_MESSAGE_DETAIL),
          .hint = c_field(notice, PG_DIAG_MESSAGE_HINT)});
}

void Session::notify(const Notice& notice) noexcept {
  if (seldom_ == nullptr) return;
  const NoticeHandler& handler = seldom_->lease ? seldom_->lease : seldom_->standing;
  if (!handler) return;
  noticing_ = true;
  try {
    handler(notice);
  } catch (...) {
    // A notice is no reason to fail a statement (notice.hpp).
  }
  noticing_ = false;
}

void Session::set_notice_handler(NoticeHandler handler) {
  if (noticing_) throw UsageError("a notice handler cannot replace itself while it runs");
  mark_use();
  set(Flag::touched);  // so that the end of the lease removes it
  if (seldom_ == nullptr) seldom_ = std::make_unique<Seldom>();
  if (!has(Flag::pooled)) seldom_->of_login = false;
  (has(Flag::pooled) ? seldom_->lease : seldom_->standing) = std::move(handler);
}

void Session::end_login() noexcept {
  if (seldom_ == nullptr || !seldom_->of_login) return;
  if (seldom_->observed == nullptr) return seldom_.reset();
  seldom_->standing = nullptr;
  seldom_->of_login = false;
}

std::unique_ptr<Attachment>& Session::attachment() {
  if (seldom_ == nullptr) seldom_ = std::make_unique<Seldom>();
  return seldom_->attachment;
}

PGconn* Session::hand_out() noexcept {
  if (inherited()) return nullptr;
  mark_use();
  if (verb_ == nullptr) await_cancels();
  if (seldom_ != nullptr) seldom_->attachment.reset();
  set(Flag::touched);
  set(Flag::native);
  cache_.distrust();
  may_be_undone_ = true;
  shared_->mirror.set_unknown(true);
  if (verb_ == nullptr) PQsetnonblocking(native_.get(), 0);  // else at the end of the verb
  return native_.get();
}

bool Session::end_touched_lease() noexcept {
  if (inherited() || verb_ != nullptr) return false;
  mark_use();
  PGconn* connection = native_.get();
  leave_transaction();
  if (seldom_ != nullptr) seldom_->lease = nullptr;
  end_statement();
  if (has(Flag::doomed) || has(Flag::canceled)) return false;
  if (PQstatus(connection) != CONNECTION_OK) {
    set_broken(last_words(connection));
    return false;
  }
  if (PQtransactionStatus(connection) != PQTRANS_IDLE ||
      PQpipelineStatus(connection) != PQ_PIPELINE_OFF) {
    return false;
  }
  if (has(Flag::native)) {
    if (!take_back()) return false;
    clear(Flag::native);
    shared_->mirror.set_unknown(false);
    shared_->mirror.end(TransactionStatus::idle);
  }
  if (role() != Role::primary) return false;
  shared_->mirror.forget();
  clear(Flag::touched);
  return true;
}

// Takes back what native_handle() gave away: sets mode and callbacks as the library keeps them.
bool Session::take_back() noexcept {
  PGconn* connection = native_.get();
  install_callbacks();
  PQsetErrorVerbosity(connection, PQERRORS_DEFAULT);
  // After a PQreset() this is another session, and the duplicate of its socket is stale.
  return PQbackendPID(connection) == backend_pid_ && PQsetnonblocking(connection, 1) == 0;
}

SocketCheck Session::check_socket() noexcept {
  if (inherited()) return SocketCheck::dead;
  mark_use();
  PGconn* connection = native_.get();
  for (int reading = 0; reading < kReadings && !has(Flag::broken); ++reading) {
    pollfd socket{.fd = PQsocket(connection), .events = POLLIN | POLLRDHUP, .revents = 0};
    int n = 0;
    do {
      n = ::poll(&socket, 1, 0);
    } while (n < 0 && errno == EINTR);
    if (n == 0) return SocketCheck::ok;
    const bool gone = n < 0 || (socket.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
    // Reads also from a dead socket: the server may have said why.
    const bool read = PQconsumeInput(connection) != 0;
    // PQnotifies() also digests notices and parameter changes, and calls receive().
    while (PGnotify* notification = PQnotifies(connection)) PQfreemem(notification);
    if (!read) set_broken(last_words(connection));
    if (gone) set_broken("the server has closed the connection");
  }
  return has(Flag::broken) ? SocketCheck::dead : SocketCheck::ok;
}

}  // namespace tidegate::pq
