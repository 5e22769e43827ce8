// HttpClient: asks one server, over one connection after another.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace service {

// For one thread at a time.
class HttpClient {
 public:
  struct Answer {
    int status = 0;  // 0: none came, and `failure` says why
    std::string location{};
    std::string failure{};
  };

  // A server on 127.0.0.1. Without `keep_alive` each request has a connection of its own.
  HttpClient(int port, bool keep_alive, std::chrono::milliseconds patience) noexcept
      : port_(port), keep_alive_(keep_alive), patience_(patience) {}
  ~HttpClient() { close(); }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Sends the request, without a body, and waits for the answer. Asks once: whether a request that
  // was not answered has been served is not known.
  Answer ask(const std::string& method, const std::string& path, const std::string& id);

 private:
  bool connected() const noexcept;
  std::string connect();
  void close() noexcept;

  const int port_;
  const bool keep_alive_;
  const std::chrono::milliseconds patience_;
  int socket_ = -1;
};

}  // namespace service
