// HttpServer: carries HTTP requests to one function and its replies back, and ends without losing
// one. Of threads, or of coroutines.
#pragma once

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
  std::string body{};
  std::string location{};  // of what was created
  std::string type{"application/json"};
};

// All members from any thread. The destructor ends as the steps below do, and waits for the
// requests that are being handled.
class HttpServer {
 public:
  virtual ~HttpServer() = default;
  HttpServer() = default;
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  virtual int port() const noexcept = 0;
  virtual bool accepting() const noexcept = 0;

  // The end, step by step. Each reply from here on is the last one on its connection, and says so.
  virtual void close_after_replies() noexcept = 0;
  // New connections are refused. Those that were accepted are served: one request each.
  virtual void stop_accepting() = 0;
  // Waits until every connection is served and closed. Those on which nobody asks for anything are
  // closed after a while. False when the deadline or the stop came first.
  virtual bool await_idle(tidegate::Deadline deadline, const std::stop_token& stop = {}) = 0;
};

}  // namespace service
