#include "pq/cancel/cancel_call.hpp"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <tidegate/pq/file_descriptor.hpp>

#include "pq/cancel/cancel_key.hpp"

namespace tidegate::pq {
namespace {

using Progress = CancelCall::Progress;

// Documentation: 55.7, CancelRequest: length, code, process number, secret key.
using Packet = std::array<std::uint32_t, 4>;
constexpr std::uint32_t kCancelRequest = (1234U << 16) | 5678U;

Packet packet_of(const CancelKey& key) noexcept {
  return {htonl(sizeof(Packet)), htonl(kCancelRequest), htonl(static_cast<std::uint32_t>(key.pid)),
          htonl(static_cast<std::uint32_t>(key.secret))};
}

// In clear, as PQcancel() sends it.
class SocketCall final : public CancelCall {
 public:
  SocketCall(const std::string& address, const CancelKey& key) noexcept
      : address_(address), known_(key.known), packet_(packet_of(key)) {}

  // A fork() child that has not called exec holds the socket, too: the shutdown closes it for both.
  ~SocketCall() override {
    if (socket_) ::shutdown(socket_.get(), SHUT_RDWR);
  }

  Progress step() noexcept override {
    switch (state_) {
      case State::begin: return connect();
      case State::connecting: return connected();
      case State::sending: return send();
      case State::sent: return await_end();
    }
    return Progress::doubtful;
  }
  bool may_send() const noexcept override { return state_ == State::sending; }
  int socket() const noexcept override { return state_ == State::begin ? -1 : socket_.get(); }
  short events() const noexcept override { return state_ == State::sent ? POLLIN : POLLOUT; }

 private:
  enum class State : std::uint8_t { begin, connecting, sending, sent };

  Progress connect() noexcept {
    sockaddr_storage address{};
    if (!known_ || address_.empty() || address_.size() > sizeof address) return Progress::not_sent;
    std::memcpy(&address, address_.data(), address_.size());
    if (!socket_) {
      socket_ = FileDescriptor(
          ::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    }
    if (!socket_) return Progress::not_sent;
    const int done = ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address),
                               static_cast<socklen_t>(address_.size()));
    if (done == 0) {
      state_ = State::sending;
    } else if (errno == EINPROGRESS || errno == EINTR) {
      state_ = State::connecting;
    } else if (errno != EAGAIN) {  // EAGAIN: a Unix socket on which too many wait to be accepted
      return Progress::not_sent;
    }
    return Progress::connecting;
  }

  Progress connected() noexcept {
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
      return Progress::not_sent;
    }
    state_ = State::sending;
    return Progress::connecting;
  }

  // A server does nothing for a part of a request.
  Progress send() noexcept {
    const auto* const bytes = reinterpret_cast<const char*>(packet_.data());
    const ssize_t size =
        ::send(socket_.get(), bytes + sent_, sizeof(Packet) - sent_, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (size < 0) return again() ? Progress::connecting : Progress::not_sent;
    sent_ += static_cast<std::size_t>(size);
    if (sent_ < sizeof(Packet)) return Progress::connecting;
    state_ = State::sent;
    return Progress::sent;
  }

  // Only the end may come. A peer that says something has not done its part; and after a reset
  // nobody knows whether the request was read, by a server or by a pooler, which may have passed it
  // on.
  Progress await_end() noexcept {
    char byte = 0;
    const ssize_t size = ::recv(socket_.get(), &byte, 1, MSG_DONTWAIT);
    if (size == 0) return Progress::delivered;
    return size < 0 && again() ? Progress::sent : Progress::doubtful;
  }

  static bool again() noexcept { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

  const std::string& address_;
  const bool known_;
  const Packet packet_;
  FileDescriptor socket_{};
  State state_ = State::begin;
  std::size_t sent_ = 0;
};

#ifdef LIBPQ_HAS_ASYNC_CANCEL

// Uses libpq, encrypted if the session is. libpq looks up no name: it dials the session's address.
// (With GSS encryption it may wait for the KDC in there.)
class LibpqCall final : public CancelCall {
 public:
  explicit LibpqCall(PGcancelConn* request) noexcept : request_(request) {}
  // Resets the request for the next call. (A request that PQcancelCreate left bad, without a key
  // for example, never gets better, and has nothing to reset.)
  ~LibpqCall() override {
    if (reset_) PQcancelReset(request_);
  }

  Progress step() noexcept override {
    if (!begun_) {
      reset_ = PQcancelStatus(request_) == CONNECTION_ALLOCATED;
      begun_ = PQcancelStart(request_) == 1;
      return begun_ ? Progress::connecting : Progress::not_sent;
    }
    const bool sent = is_sent();
    switch (PQcancelPoll(request_)) {
      case PGRES_POLLING_OK: return Progress::delivered;
      case PGRES_POLLING_READING: events_ = POLLIN; break;
      case PGRES_POLLING_WRITING: events_ = POLLOUT; break;
      default: return sent ? Progress::doubtful : Progress::not_sent;
    }
    return is_sent() ? Progress::sent : Progress::connecting;
  }
  bool may_send() const noexcept override { return begun_ && !is_sent(); }
  int socket() const noexcept override { return PQcancelSocket(request_); }
  short events() const noexcept override { return events_; }

 private:
  bool is_sent() const noexcept { return PQcancelStatus(request_) == CONNECTION_AWAITING_RESPONSE; }

  PGcancelConn* request_;
  bool begun_ = false;
  bool reset_ = false;      // also when it could not begin this time
  short events_ = POLLOUT;  // libpq: to begin with, behave as if it had said "writing"
};

#endif

}  // namespace

std::unique_ptr<CancelCall> make_cancel_call(const std::string& address, const CancelKey& key) {
#ifdef LIBPQ_HAS_ASYNC_CANCEL
  if (key.request) return std::make_unique<LibpqCall>(key.request.get());
#endif
  return std::make_unique<SocketCall>(address, key);
}

}  // namespace tidegate::pq
