// HttpConnection: one client's connection, request after request.
#pragma once

#include <atomic>

#include "event.hpp"
#include "threaded_server.hpp"

namespace service {

// What all connections of a server share.
struct HttpEnd {
  std::atomic<bool> closing{false};  // each reply is the last one on its connection
  Event idle{};                      // connections without a request end
};

// Serves the connection until one of the sides ends it, and closes the socket.
void serve_connection(int socket, const HttpCalls& calls, const HttpEnd& end);

}  // namespace service
