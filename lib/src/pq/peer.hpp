// Peer: is it the server itself that is at the other end of a session's socket?
#pragma once

#include <cstdint>

namespace tidegate::pq {

// The number of a server process does not tell: some poolers hand on the server's own. Whoever is
// in between has a connection of its own to the server, which looks different from there.
enum class Peer : std::uint8_t { unknown, server, other };

// Of a Unix socket: who listens there is the parent of the session's process. Unknown for any other
// socket; an other one where these are not to be seen, in a container for example.
Peer unix_peer(int socket, int backend_pid) noexcept;

// What the server is asked over any other, and what its answer says: the port that it sees is the
// one that the socket has here. A proxy that only moves bytes, or a router that changes addresses,
// is an other one then, which costs some quiet after a cancel and nothing else.
inline constexpr const char* kPeerQuestion = "select pg_catalog.inet_client_port()";
Peer tcp_peer(int socket, std::uint16_t port_seen) noexcept;

}  // namespace tidegate::pq
