// An HttpServer whose threads serve a connection each.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "http_server.hpp"

namespace service {

// Both are called on the server's threads, and must not throw.
struct HttpCalls {
  // Reads have begun: from here on the request is to be answered. `id`: its X-Request-Id, or "".
  std::function<void(const std::string& id)> admit;
  std::function<HttpReply(const HttpRequest&)> handle;
};

// Listens on a free port of 127.0.0.1. `threads` serve a connection each, others wait for them.
// Throws: std::runtime_error, std::system_error.
std::unique_ptr<HttpServer> make_threaded_server(unsigned threads, HttpCalls calls);

}  // namespace service
