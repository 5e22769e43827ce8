// Peer: is it the server itself that is at the other end of a session's socket?
#pragma once

#include <cstdint>

namespace tidegate::pq {

// The number of a server process does not tell: some poolers hand on the server's own number. But
// anything in between has its own connection to the server, which looks different from there.
enum class Peer : std::uint8_t { unknown, server, other };

// For a Unix socket: `server` if the parent of the session's process listens there, `other` if it
// does not or cannot be seen, in a container for example. `unknown` for any other socket.
Peer unix_peer(int socket, int backend_pid) noexcept;

// For any other socket the server is asked this: it is the peer if the port that it sees is the
// port of the socket here. A proxy that only moves bytes, or a router that changes addresses,
// counts as `other` then, which costs some quiet after a cancel and nothing else.
inline constexpr const char* kPeerQuestion = "select pg_catalog.inet_client_port()";
Peer tcp_peer(int socket, std::uint16_t port_seen) noexcept;

}  // namespace tidegate::pq
