// Opens one connection, within a deadline and abortable.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/pq/cancel_group.hpp>
#include <tidegate/pq/connection.hpp>
#include <tidegate/pq/file_descriptor.hpp>
#include <tidegate/pq/notice.hpp>

namespace tidegate::pq {

// What a connect is about to do. Nothing can interrupt it in the first three, however long it is in
// there: a resolver that does not answer, a computation that the server asks for, Kerberos.
enum class ConnectStep {
  look_up,  // of a host name: getaddrinfo()
  start,    // PQconnectStartParams()
  poll,     // PQconnectPoll()
  wait,     // for the server
};

struct ConnectOptions {
  // libpq's keywords with their values; an empty value is one that is not given. PG* environment,
  // service file and libpq's defaults fill in the rest.
  std::vector<std::pair<std::string, std::string>> params{};
  // Prepared statements that the connection keeps; 0: none, statements are unnamed. Unset: 256, and
  // none where a pooler is in between (Connection::through_pooler()).
  std::optional<std::uint32_t> statement_cache{};
  // How long a prepared statement is trusted to have the parameter types that its text would have
  // if it were prepared now. Others may change them without an error (timestamp to timestamptz);
  // after that time it goes without a name once, and is prepared anew at the use after that. Not
  // for parameters that are texts or bytes, which mean the same in every column.
  std::chrono::seconds statement_trust{10};
  // Whose cancel requests the connection's are counted and limited with; null: a group of its own.
  std::shared_ptr<CancelGroup> cancels{};
  // How long the server may take to answer a cancel before the connection is given up. Behind a
  // pooler, in whose queue no cancel finds a statement, it is given up 150 ms after the first
  // request if the pooler has taken that and nothing has come of it.
  std::chrono::milliseconds drain_bound{1000};
  // Gets the notices from the login on, until Connection::set_notice_handler() names another, or
  // the pool has it: the server may warn of a password that expires. Unset: they are dropped.
  NoticeHandler on_notice{};
  // Told before each step, on the connecting thread, for diagnostics; must not throw.
  std::function<void(ConnectStep)> on_step{};
};

enum class ConnectFault {
  unreachable,  // later it may work: refused, no answer, starting up, too many clients, DNS
  rejected,     // it will not work until somebody changes something: password, database, TLS,
                // an option that libpq or the server will not have
  aborted,      // the stop_token was triggered
};

// One address that was tried in vain. Plain data; never a password, never the whole conninfo.
struct FailedAttempt {
  ConnectFault kind = ConnectFault::unreachable;
  std::string sqlstate{};  // empty when the server did not answer with an error
  std::string text{};      // the server's message, or what stood in the way; one line
  std::string host{};      // as configured: a name, or the directory of a Unix socket
  std::string address{};   // dialled; empty for a Unix socket and when `host` has no address
  std::string port{};
};

struct ConnectFailure {
  FailedAttempt cause{};  // the one that decided
  std::vector<FailedAttempt>
      attempts{};  // all of them, in the order tried; none when aborted first
};

// Either a connection or a failure.
struct ConnectOutcome {
  Connection connection{};
  // A duplicate of its socket: shows the server's EOF after the connection is closed, and can be
  // shut down while another thread uses the connection.
  FileDescriptor duplicate{};
  std::optional<ConnectFailure> failure{};
  // Attempts that were given up in the middle of the handshake: the server may have begun a process
  // for each, and hears later that nobody wants it.
  std::uint32_t given_up = 0;

  explicit operator bool() const noexcept { return !failure.has_value(); }
};

// Tries the hosts and their addresses one after the other, each for an equal share of the time that
// is left (and at most libpq's connect_timeout), until one works or rejects; like libpq, except
// that an address that does not answer costs its share only.
// Needs:    any thread. Blocks while libpq or the resolver has the thread (ConnectStep), which
//           nothing can interrupt; everything else ends at once when `stop` is triggered, and at
//           the deadline.
// Promises: on success the connection is idle. On failure nothing is left behind.
// Throws:   std::bad_alloc.
TIDEGATE_API ConnectOutcome connect(const ConnectOptions& options, std::stop_token stop,
                                    Deadline deadline);

}  // namespace tidegate::pq
