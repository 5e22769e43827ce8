#include "farewell.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace tidegate::detail {
namespace {

constexpr int kPartsAtOnce = 4;        // of what a server still says, in one step
constexpr int kLookForStopEvery = 20;  // ms: how soon end_and_wait() hears of a stop

// PQfinish says goodbye, and waits for room for that if native_handle() has left libpq in blocking
// mode. A server that reads nothing is told by the end of our side only. What still runs is
// canceled, or its process would live on until that is done.
void close_without_waiting(PooledConnection& connection) noexcept {
  connection.connection.cancel_left_running();
  const int socket = connection.duplicate.get();
  pollfd room{socket, POLLOUT, 0};
  if (socket >= 0 && ::poll(&room, 1, 0) == 0) ::shutdown(socket, SHUT_WR);
  connection.connection.close();
}

}  // namespace

Farewell::Farewell(std::uint32_t slot, PooledConnection& connection, Deadline deadline) noexcept
    : slot_(slot), socket_(connection.duplicate.get()), deadline_(deadline) {
  close_without_waiting(connection);
  // libpq has said goodbye and closed its descriptor, but ours keeps the socket open: end our side
  // of it by hand, or a server that missed the goodbye would wait for us.
  if (socket_ >= 0 && ::shutdown(socket_, SHUT_WR) != 0) socket_ = -1;
}

Farewell::Progress Farewell::step() const noexcept {
  if (socket_ < 0) return Progress::gone;
  std::array<char, 4096> rest;
  // A server that sends without end gets its share of the thread, and no more time than others.
  for (int part = 0; part < kPartsAtOnce; ++part) {
    const ssize_t size = ::recv(socket_, rest.data(), rest.size(), MSG_DONTWAIT);
    if (size > 0) continue;
    if (size == 0) return Progress::gone;
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return Progress::gone;
    break;
  }
  return deadline_.passed() ? Progress::abandoned : Progress::pending;
}

bool end_and_wait(PooledConnection& connection, const std::stop_token& stop) noexcept {
  const Farewell farewell(0, connection);
  for (;;) {
    const Farewell::Progress progress = farewell.step();
    if (progress == Farewell::Progress::gone) return true;
    if (progress == Farewell::Progress::abandoned || stop.stop_requested()) return false;
    pollfd socket{farewell.socket(), POLLIN, 0};
    ::poll(&socket, 1, kLookForStopEvery);
  }
}

void end_now(PooledConnection& connection) noexcept {
  close_without_waiting(connection);
  connection.duplicate = {};
}

}  // namespace tidegate::detail
