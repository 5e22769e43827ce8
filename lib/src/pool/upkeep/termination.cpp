#include "pool/upkeep/termination.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "pq/pool_access.hpp"

namespace tidegate::detail {
namespace {

constexpr int kPartsAtOnce = 4;        // how much of a server's last words one step reads
constexpr int kLookForStopEvery = 20;  // ms: how soon end_and_wait() notices a stop

// PQfinish sends Terminate, and waits for room for it if native_handle() has left libpq in blocking
// mode. A server that reads nothing learns of the end only when our side ends. A statement that
// still runs is canceled, because its process would otherwise live until it is done.
void close_without_waiting(PooledConnection& connection) noexcept {
  pq::PoolAccess(connection.connection).cancel_left_running();
  const int socket = connection.duplicate.get();
  pollfd room{socket, POLLOUT, 0};
  if (socket >= 0 && ::poll(&room, 1, 0) == 0) ::shutdown(socket, SHUT_WR);
  connection.connection.close();
}

}  // namespace

Termination::Termination(std::uint32_t slot, PooledConnection& connection,
                         Deadline deadline) noexcept
    : slot_(slot), socket_(connection.duplicate.get()), deadline_(deadline) {
  close_without_waiting(connection);
  // libpq has sent Terminate and closed its descriptor, but our duplicate keeps the socket open:
  // end our side by hand, because a server that missed that message would wait for us.
  if (socket_ >= 0 && ::shutdown(socket_, SHUT_WR) != 0) socket_ = -1;
}

Termination::Progress Termination::step() const noexcept {
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
  const Termination termination(0, connection);
  for (;;) {
    const Termination::Progress progress = termination.step();
    if (progress == Termination::Progress::gone) return true;
    if (progress == Termination::Progress::abandoned || stop.stop_requested()) return false;
    pollfd socket{termination.socket(), POLLIN, 0};
    ::poll(&socket, 1, kLookForStopEvery);
  }
}

void end_now(PooledConnection& connection) noexcept {
  close_without_waiting(connection);
  connection.duplicate = {};
}

}  // namespace tidegate::detail
