#include "pq/connect/attempt.hpp"

#include <fcntl.h>
#include <libpq-fe.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <new>
#include <string_view>
#include <system_error>

#include <tidegate/base/duration.hpp>

#include "pq/cancel/cancel_key.hpp"
#include "pq/connect/listener_check.hpp"
#include "pq/connect/server_text.hpp"
#include "pq/connect/session_attrs.hpp"
#include "pq/session.hpp"
#include "pq/wait.hpp"

namespace tidegate::pq {
namespace {

// libpq takes the last of equal keywords.
std::string_view last_of(const ConnectParams& params, std::string_view keyword) noexcept {
  std::string_view found;
  for (const auto& [each, value] : params) {
    if (each == keyword) found = value;
  }
  return found;
}

NativePtr start(const ConnectParams& params, const SessionAttrs& attrs) {
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  for (const auto& [keyword, value] : params) {
    keywords.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  if (!attrs.any()) {  // else libpq judges the value, which may be an error
    keywords.push_back("target_session_attrs");
    values.push_back("any");
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  // 0: dbname is a name, never a conninfo that could bring its own password into a message.
  NativePtr native(PQconnectStartParams(keywords.data(), values.data(), 0));
  if (!native) throw std::bad_alloc();
  return native;
}

bool is_securing(ConnStatusType phase) noexcept {
  return phase == CONNECTION_SSL_STARTUP || phase == CONNECTION_GSS_STARTUP;
}

std::string_view name_of(ConnStatusType phase) noexcept {
  switch (phase) {
    case CONNECTION_STARTED: return "connecting";
    case CONNECTION_SSL_STARTUP: return "negotiating TLS";
    case CONNECTION_GSS_STARTUP: return "negotiating GSS encryption";
    case CONNECTION_MADE:
    case CONNECTION_AWAITING_RESPONSE: return "waiting for the server's first answer";
    default: return "starting the session";
  }
}

// The handshake, step by step.
class Handshake {
 public:
  enum class End : std::uint8_t { connected, failed, woken, timed_out };

  // `lacked_memory`: PQconnectStart ran out of memory.
  Handshake(PGconn* connection, const ConnectOptions& options, bool lacked_memory) noexcept
      : connection_(connection), options_(options), lacked_memory_(lacked_memory) {}

  End run(int wake_fd, Deadline deadline) noexcept {
    // libpq: to begin with, behave as if PQconnectPoll() had said "writing".
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    phase_ = PQstatus(connection_);
    if (phase_ == CONNECTION_BAD) return End::failed;
    while (next == PGRES_POLLING_READING || next == PGRES_POLLING_WRITING) {
      const int wanted = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;
      short seen = 0;
      say(ConnectStep::wait);
      // The socket may change from step to step.
      switch (wait_for(PQsocket(connection_), static_cast<short>(wanted | POLLRDHUP), wake_fd,
                       deadline, seen)) {
        case Waited::woken: return End::woken;
        case Waited::timed_out: return End::timed_out;
        case Waited::ready: break;
      }
      peer_gone_ = (seen & kGone) != 0;
      note_first_answer((seen & POLLIN) != 0);
      say(ConnectStep::poll);
      errno = 0;
      next = PQconnectPoll(connection_);
      lacked_memory_ = errno == ENOMEM;  // libpq tells this in words only
      if (next != PGRES_POLLING_FAILED) phase_ = PQstatus(connection_);
    }
    return next == PGRES_POLLING_OK ? End::connected : End::failed;
  }

  ConnStatusType phase() const noexcept { return phase_; }
  // The server may have a process for this attempt by now.
  bool begun() const noexcept { return phase_ != CONNECTION_STARTED && phase_ != CONNECTION_BAD; }
  ConnectSigns signs(const Target& target) const {
    if (phase_ == CONNECTION_BAD) return {.shaking_hands = refused_to_begin(target)};
    return {.shaking_hands = begun() && speaks_postgresql() && !session_began() && !lacked_memory_,
            .peer_gone = peer_gone_ || (!is_securing(phase_) && hung_up()),
            .password_missing = PQconnectionNeedsPassword(connection_) != 0};
  }

 private:
  void say(ConnectStep step) const {
    if (options_.on_step) options_.on_step(step);
  }

  // Notes how the server answers first: PostgreSQL asks for a way to log in. Any other answer
  // without a code is from no PostgreSQL, or one that cannot begin a process. Through TLS nobody
  // else gets so far.
  void note_first_answer(bool readable) noexcept {
    if (phase_ != CONNECTION_AWAITING_RESPONSE || first_answer_ != 0 || !readable) return;
    const bool plain = PQsslInUse(connection_) == 0 && PQgssEncInUse(connection_) == 0;
    char first = kAuthentication;
    if (plain && ::recv(PQsocket(connection_), &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1) return;
    first_answer_ = first;
  }
  bool speaks_postgresql() const noexcept {
    return first_answer_ == 0 ? phase_ != CONNECTION_AWAITING_RESPONSE
                              : first_answer_ == kAuthentication;
  }
  // The server has let us in.
  bool session_began() const noexcept {
    return PQparameterStatus(connection_, "server_version") != nullptr;
  }
  // From libpq 17 on it checks who listens behind a Unix socket, and for a ticket to encrypt with,
  // before there is anything to wait for. If it cannot dial an address, its error names it.
  bool refused_to_begin(const Target& target) const {
    if (lacked_memory_) return false;
    if (wrong_user_listens(options_.params, target.host, target.port)) return true;
    const std::string& dialled = target.address.empty() ? target.host : target.address;
    return std::string_view(PQerrorMessage(connection_)).find(dialled) == std::string_view::npos;
  }
  // Asks again after the last wait: the server may hang up between the wait and the read. libpq
  // keeps the socket until PQfinish, unless reading has failed.
  bool hung_up() const noexcept {
    const int socket = PQsocket(connection_);
    if (socket < 0) return true;
    short seen = 0;
    (void)wait_for(socket, POLLRDHUP, -1, Deadline::now(), seen);
    return (seen & kGone) != 0;
  }

  static constexpr char kAuthentication = 'R';
  static constexpr short kGone = POLLRDHUP | POLLHUP | POLLERR;

  PGconn* connection_;
  const ConnectOptions& options_;
  ConnStatusType phase_ = CONNECTION_BAD;
  bool peer_gone_ = false;
  bool lacked_memory_;
  char first_answer_ = 0;  // its type; 0: nothing yet
};

void describe_refusal(PGconn* connection, ConnectSigns signs, FailedAttempt& failure) {
  ServerText said = server_text(PQerrorMessage(connection));
  failure.kind = fault_of(said.sqlstate, signs);
  failure.sqlstate = std::move(said.sqlstate);
  failure.text = std::move(said.text);
}

}  // namespace

AttemptOutcome attempt(const ConnectOptions& options, const Target& target, int wake_fd,
                       Deadline deadline) {
  AttemptOutcome outcome;
  FailedAttempt& failure = outcome.failure;
  failure.host = target.host;
  failure.address = target.address;
  failure.port = target.port;

  const auto began = Deadline::Clock::now();
  if (options.on_step) options.on_step(ConnectStep::start);
  const SessionAttrs attrs(last_of(options.params, "target_session_attrs"));
  errno = 0;
  auto session = std::make_unique<Session>(start(options.params, attrs), options.on_notice);
  const bool lacked_memory = errno == ENOMEM;
  PGconn* connection = session->native();
  PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
  KeyListener listener(connection);
  Handshake handshake(connection, options, lacked_memory);
  switch (handshake.run(wake_fd, deadline)) {
    case Handshake::End::connected: break;
    case Handshake::End::failed:
      describe_refusal(connection, handshake.signs(target), failure);
      return outcome;
    case Handshake::End::woken:
      outcome.begun = handshake.begun();
      failure.kind = ConnectFault::aborted;
      failure.text = "aborted while " + std::string(name_of(handshake.phase()));
      return outcome;
    case Handshake::End::timed_out:
      outcome.begun = handshake.begun();
      failure.text = "no answer for " + brief_duration(Deadline::Clock::now() - began) + " while " +
                     std::string(name_of(handshake.phase()));
      return outcome;
  }
  if (!attrs.any()) {
    SessionAttrs::Look look = attrs.look(connection, wake_fd, deadline);
    if (look.verdict != SessionAttrs::Verdict::fits) {
      outcome.begun = look.verdict != SessionAttrs::Verdict::does_not;
      if (look.verdict == SessionAttrs::Verdict::woken) failure.kind = ConnectFault::aborted;
      failure.text = std::move(look.text);
      if (outcome.begun) failure.text = "no answer to what target_session_attrs asks for";
      return outcome;
    }
  }

  outcome.duplicate = FileDescriptor(::fcntl(PQsocket(connection), F_DUPFD_CLOEXEC, 0));
  if (!outcome.duplicate) {
    failure.text = "cannot duplicate the socket: " + std::generic_category().message(errno);
    return outcome;
  }
  session->opened(options, listener.key());
  outcome.connection = Connection(std::move(session));
  return outcome;
}

}  // namespace tidegate::pq
