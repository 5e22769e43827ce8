// What the tests of the pq layer against a real server have in common.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>

#include <tidegate/pq/connect.hpp>
#include <tidegate/pq/errors.hpp>

namespace tidegate::pq_test {

using namespace std::chrono_literals;

// Long enough for anything that does happen, on a loaded machine, too.
inline constexpr auto kLong = 30s;

using Params = std::vector<std::pair<std::string, std::string>>;

inline pq::ConnectOutcome try_connect(Params params = {}, Deadline deadline = kLong,
                                      std::stop_token stop = {}) {
  return pq::connect({.params = std::move(params)}, std::move(stop), deadline);
}

// Connects to the tests' server by the PG* environment. A server that is slow to answer a cancel is
// no reason to give it up in a test.
inline pq::ConnectOutcome connected_with(pq::ConnectOptions options) {
  options.drain_bound = kLong;
  pq::ConnectOutcome outcome = pq::connect(options, {}, kLong);
  if (!outcome) throw std::runtime_error("no connection: " + outcome.failure->cause.text);
  return outcome;
}
inline pq::ConnectOutcome connected(Params params = {}) {
  return connected_with({.params = std::move(params)});
}
inline Connection connect_to_server() { return std::move(connected().connection); }

inline pq::ConnectFailure failure_of(Params params, Deadline deadline = kLong) {
  pq::ConnectOutcome outcome = try_connect(std::move(params), deadline);
  if (outcome) throw std::runtime_error("connected, though it should not");
  return *outcome.failure;
}

inline std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}
inline Params tcp(Params more = {}) {
  more.insert(more.begin(), {"host", environment("TIDEGATE_PG_TCP_HOST")});
  return more;
}

// Waits until `fd` has something of `events`; false after kLong.
inline bool wait_for_event(int fd, short events) {
  pollfd waiting{.fd = fd, .events = events, .revents = 0};
  return ::poll(&waiting, 1, std::chrono::milliseconds(kLong).count()) == 1;
}
inline bool wait_for_eof(int fd) { return wait_for_event(fd, POLLRDHUP); }

// Ends the session with that backend and waits until its socket says so.
inline void terminate(int backend_pid, int socket) {
  connect_to_server().exec("select pg_terminate_backend($1)", backend_pid);
  if (!wait_for_eof(socket)) throw std::runtime_error("the backend does not end");
}

// Waits until that backend sleeps in pg_sleep(): a statement is well under way.
inline void wait_until_asleep(int backend_pid) {
  Connection watch = connect_to_server();
  const Deadline give_up = kLong;
  while (
      !watch.query_value<bool>("select exists (select from pg_stat_activity where pid = $1 and "
                               "wait_event = 'PgSleep')",
                               backend_pid)) {
    if (give_up.passed()) throw std::runtime_error("nobody sleeps");
  }
}

// A TCP socket that listens and says nothing unless told to.
class Listener {
 public:
  Listener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    auto* address = reinterpret_cast<sockaddr*>(&address_);
    if (::bind(fd_.get(), address, size) != 0 || ::listen(fd_.get(), 8) != 0 ||
        ::getsockname(fd_.get(), address, &size) != 0) {
      throw std::runtime_error("cannot listen");
    }
  }
  std::string port() const { return std::to_string(ntohs(address_.sin_port)); }
  int fd() const { return fd_.get(); }
  pq::FileDescriptor accept() const {
    return pq::FileDescriptor(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  // Nothing listens on its port any more.
  std::string close() {
    fd_.reset();
    return port();
  }

 private:
  pq::FileDescriptor fd_;
  sockaddr_in address_{};
};

// What `f` throws as an E; anything else fails the test.
template <class E, class F>
E thrown_by(F&& f) {
  try {
    std::forward<F>(f)();
  } catch (const E& error) {
    return error;
  }
  throw std::runtime_error("nothing was thrown");
}

}  // namespace tidegate::pq_test
