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
#include <tidegate/pq/query_observer.hpp>

namespace tidegate::pq {

// What a connect is about to do. Nothing can interrupt the first three steps, however long they
// take: a resolver that does not answer, a computation that the server asks for, Kerberos.
enum class ConnectStep {
  look_up,  // of a host name: getaddrinfo()
  start,    // PQconnectStartParams()
  poll,     // PQconnectPoll()
  wait,     // for the server
};

struct ConnectOptions {
  // libpq's keywords with their values; an empty value counts as not given. PG* environment,
  // service file and libpq's defaults fill in the rest.
  std::vector<std::pair<std::string, std::string>> params{};
  // How many prepared statements the connection keeps; 0: none, statements are unnamed. Unset: 256,
  // or none behind a pooler (Connection::through_pooler()).
  std::optional<std::uint32_t> statement_cache{};
  // How long a prepared statement is trusted to have the parameter types that its text would have
  // if it were prepared now. Others may change these types without an error (timestamp to
  // timestamptz). After that time the statement goes without a name once, and the next use prepares
  // it anew. Not for parameters that are texts or bytes: these mean the same in every column.
  std::chrono::seconds statement_trust{10};
  // The group that counts and limits the connection's cancel requests; null: a group of its own.
  std::shared_ptr<CancelGroup> cancels{};
  // How long the server may take to answer a cancel before the connection is given up. No cancel
  // finds a statement in a pooler's queue: behind a pooler the connection is given up 150 ms after
  // the first request if the pooler has taken the request and nothing has come of it.
  std::chrono::milliseconds drain_bound{1000};
  // Gets the notices from the login on until Connection::set_notice_handler() sets another, or a
  // pool has the connection: the server may warn of a password that expires. Unset: notices are
  // dropped.
  NoticeHandler on_notice{};
  // Is told of every statement on the connection. Null: nobody is.
  std::shared_ptr<QueryObserver> queries{};
  // Called before each step, on the connecting thread, for diagnostics; must not throw.
  std::function<void(ConnectStep)> on_step{};
};

enum class ConnectFault {
  unreachable,  // may work later: refused, no answer, starting up, too many clients, DNS
  rejected,     // will not work until somebody changes something: password, database, TLS, an
                // option that libpq or the server refuses
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
  FailedAttempt cause{};  // the attempt that decided
  std::vector<FailedAttempt>
      attempts{};  // all of them, in the order tried; none when aborted first
};

// Either a connection or a failure.
struct ConnectOutcome {
  Connection connection{};
  // A duplicate of the connection's socket: shows the server's EOF after the connection is closed,
  // and can be shut down while another thread uses the connection.
  FileDescriptor duplicate{};
  std::optional<ConnectFailure> failure{};
  // Attempts that were given up in the middle of the handshake: the server may have started a
  // process for each of them, and learns only later that nobody wants it.
  std::uint32_t given_up = 0;

  explicit operator bool() const noexcept { return !failure.has_value(); }
};

// Tries the hosts and their addresses one after the other, each for an equal share of the time that
// is left (and at most libpq's connect_timeout), until one works or rejects. This is like libpq,
// except that an address that does not answer costs only its share.
// Needs:    any thread. Blocks while libpq or the resolver has the thread (ConnectStep), which
//           nothing can interrupt; everything else ends at once when `stop` is triggered, and at
//           the deadline.
// Promises: on success the connection is idle. On failure nothing is left behind.
// Throws:   std::bad_alloc.
TIDEGATE_API ConnectOutcome connect(const ConnectOptions& options, std::stop_token stop,
                                    Deadline deadline);

}  // namespace tidegate::pq
