// An HttpServer of coroutines: one thread runs the loop, and serves all connections.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <boost/asio/awaitable.hpp>  // needs <utility> in Boost 1.74

#include "http_server.hpp"

namespace service {

// Both are called on the loop's thread, and must not throw.
struct LoopCalls {
  // Reads have begun: from here on the request is to be answered. `id`: its X-Request-Id, or "".
  std::function<void(const std::string& id)> admit;
  // The request lives until the reply is there.
  std::function<boost::asio::awaitable<HttpReply>(const HttpRequest&)> handle;
};

// Listens on a free port of 127.0.0.1. Throws: std::system_error.
std::unique_ptr<HttpServer> make_loop_server(LoopCalls calls);

}  // namespace service
