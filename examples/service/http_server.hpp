// HttpServer: carries HTTP requests to one function and its replies back, and ends without losing
// one.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include <tidegate/base/deadline.hpp>

#include "form.hpp"

namespace service {

struct HttpRequest {
  std::string method{};
  std::string path{};
  Params params{};  // of the query and of a form in the body
};

struct HttpReply {
  int status = 200;
  std::string body{};      // JSON
  std::string location{};  // of what was created
};

// All members from any thread.
class HttpServer {
 public:
  // Both are called on the server's threads, and must not throw.
  struct Calls {
    // Reads have begun: from here on the request is to be answered. `id`: its X-Request-Id, or "".
    std::function<void(const std::string& id)> admit;
    std::function<HttpReply(const HttpRequest&)> handle;
  };

  // Listens on a free port of 127.0.0.1. `threads` serve a connection each, others wait for them.
  // Throws: std::runtime_error, std::system_error.
  HttpServer(unsigned threads, Calls calls);
  // Ends as the steps below do, and waits for the requests that are being handled.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  int port() const noexcept;
  bool accepting() const noexcept;

  // The end, step by step. Each reply from here on is the last one on its connection, and says so.
  void close_after_replies() noexcept;
  // New connections are refused. Those that were accepted are served: one request each.
  void stop_accepting();
  // Waits until every connection is served and closed. Those on which nobody asks for anything are
  // closed after a while. False when the deadline or the stop came first.
  bool await_idle(tidegate::Deadline deadline, const std::stop_token& stop = {});

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace service
