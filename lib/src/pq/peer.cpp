#include "pq/peer.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <string_view>

#include <tidegate/pq/file_descriptor.hpp>

namespace tidegate::pq {
namespace {

int number(std::string_view text) noexcept {
  int value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end != text.data() ? value : -1;
}

// "4711 (postgres) S 4242 ...": the name may hold anything. -1: the process cannot be seen.
int parent_of(int pid) noexcept {
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/%d/stat", pid);
  const FileDescriptor file(::open(path.data(), O_RDONLY | O_CLOEXEC));
  std::array<char, 256> bytes{};
  const ssize_t size = file ? ::read(file.get(), bytes.data(), bytes.size()) : -1;
  if (size <= 0) return -1;
  const std::string_view text(bytes.data(), static_cast<std::size_t>(size));
  const std::size_t end = text.rfind(") ");
  return end == text.npos || end + 4 > text.size() ? -1 : number(text.substr(end + 4));
}

}  // namespace

Peer unix_peer(int socket, int backend_pid) noexcept {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      address.ss_family != AF_UNIX) {
    return Peer::unknown;
  }
  ucred listener{};
  size = sizeof listener;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &listener, &size) != 0) return Peer::other;
  return listener.pid > 0 && parent_of(backend_pid) == listener.pid ? Peer::server : Peer::other;
}

Peer tcp_peer(int socket, std::uint16_t port_seen) noexcept {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return Peer::other;
  in_port_t port = 0;
  if (address.ss_family == AF_INET) {
    port = reinterpret_cast<const sockaddr_in&>(address).sin_port;
  } else if (address.ss_family == AF_INET6) {
    port = reinterpret_cast<const sockaddr_in6&>(address).sin6_port;
  }
  return port != 0 && port_seen == ntohs(port) ? Peer::server : Peer::other;
}

}  // namespace tidegate::pq
