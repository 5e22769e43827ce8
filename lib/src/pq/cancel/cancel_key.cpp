#include "pq/cancel/cancel_key.hpp"

#include <libpq-fe.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <new>
#include <utility>

#include "pq/unix_address.hpp"

namespace tidegate::pq {
std::string server_address(const PGconn* connection) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (::getpeername(PQsocket(connection), reinterpret_cast<sockaddr*>(&peer), &size) != 0) {
    return {};
  }
  if (peer.ss_family == AF_UNIX) {
    const char* directory = PQhost(connection);
    const char* port = PQport(connection);
    const bool dialled = directory != nullptr && (*directory == '/' || *directory == '@');
    if (dialled && port != nullptr) return unix_address(directory, port);
  }
  return {reinterpret_cast<const char*>(&peer), size};
}

#ifdef LIBPQ_HAS_ASYNC_CANCEL

void FreeCancelConnection::operator()(pg_cancel_conn* connection) const noexcept {
  PQcancelFinish(connection);
}

KeyListener::KeyListener(PGconn* connection) : connection_(connection) {}
KeyListener::~KeyListener() = default;
void KeyListener::stop() noexcept {}
void KeyListener::hear(std::string_view) noexcept {}
void KeyListener::take_line() noexcept {}

CancelKey KeyListener::key() {
  CancelKey key;
  key.request.reset(PQcancelCreate(connection_));
  if (!key.request) throw std::bad_alloc();
  return key;
}

#else

void FreeCancelConnection::operator()(pg_cancel_conn*) const noexcept {}

KeyListener::KeyListener(PGconn* connection) : connection_(connection) {
  const cookie_io_functions_t calls{
      .read = nullptr,
      .write = [](void* listener, const char* text, std::size_t size) noexcept -> ssize_t {
        static_cast<KeyListener*>(listener)->hear({text, size});
        return static_cast<ssize_t>(size);
      },
      .seek = nullptr,
      .close = nullptr};
  trace_ = ::fopencookie(this, "w", calls);
  if (trace_ == nullptr) throw std::bad_alloc();
  // Line buffered, so nothing is left between two lines for a fork() child to write at its exit.
  std::setvbuf(trace_, buffer_.data(), _IOLBF, buffer_.size());
  PQtrace(connection_, trace_);
  PQsetTraceFlags(connection_, PQTRACE_SUPPRESS_TIMESTAMPS);
}

KeyListener::~KeyListener() { stop(); }

void KeyListener::stop() noexcept {
  if (trace_ == nullptr) return;
  PQuntrace(connection_);
  std::fclose(std::exchange(trace_, nullptr));
  ::explicit_bzero(buffer_.data(), buffer_.size());
  ::explicit_bzero(line_.data(), line_.size());
}

void KeyListener::hear(std::string_view text) noexcept {
  for (const char c : text) {
    if (c == '\n') {
      take_line();
      size_ = 0;
    } else {
      if (size_ < line_.size()) line_[size_] = c;
      ++size_;
    }
  }
}

// "B\t12\tBackendKeyData\t 4711 -12345": from the server, 12 bytes. The last one counts: a connect
// may begin again without TLS.
void KeyListener::take_line() noexcept {
  constexpr std::string_view kBegin = "B\t12\tBackendKeyData\t ";
  if (size_ > line_.size()) return;
  const std::string_view line(line_.data(), size_);
  if (!line.starts_with(kBegin)) return;
  const char* const end = line.data() + line.size();
  const auto pid = std::from_chars(line.data() + kBegin.size(), end, heard_.pid);
  if (pid.ec != std::errc() || pid.ptr == end || *pid.ptr != ' ') return;
  const auto secret = std::from_chars(pid.ptr + 1, end, heard_.secret);
  heard_.known = secret.ec == std::errc() && secret.ptr == end;
}

CancelKey KeyListener::key() {
  stop();
  heard_.known = heard_.known && heard_.pid == PQbackendPID(connection_);
  return std::move(heard_);
}

#endif

}  // namespace tidegate::pq
