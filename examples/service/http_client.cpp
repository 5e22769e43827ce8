// Boost.Beast formats and parses.
#include "http_client.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "socket_stream.hpp"

namespace service {

namespace http = boost::beast::http;

// Whether a kept-alive connection is still there: after the server's last reply on it there is
// nothing to be read but its end.
bool HttpClient::connected() const noexcept {
  if (socket_ < 0) return false;
  char next = 0;
  return ::recv(socket_, &next, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
         (errno == EAGAIN || errno == EWOULDBLOCK);
}

std::string HttpClient::connect() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port_));
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  if (socket_ < 0 || ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
      ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return "no connection: " + std::generic_category().message(errno);
  }
  return {};
}

void HttpClient::close() noexcept {
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
}

HttpClient::Answer HttpClient::ask(const std::string& method, const std::string& path,
                                   const std::string& id) {
  if (!connected()) {
    close();
    if (std::string failure = connect(); !failure.empty()) {
      close();
      return {.failure = std::move(failure)};
    }
  }
  http::request<http::empty_body> request;
  request.method_string(method);
  request.target(path);
  request.version(11);
  request.set(http::field::host, "127.0.0.1");
  request.set("X-Request-Id", id);
  request.keep_alive(keep_alive_);
  request.prepare_payload();

  SocketStream stream(socket_, patience_);
  boost::system::error_code error;
  http::write(stream, request, error);
  http::response<http::string_body> reply;
  boost::beast::flat_buffer buffer;
  if (!error) http::read(stream, buffer, reply, error);
  if (error || !reply.keep_alive()) close();
  if (error) return {.failure = error.message()};
  const auto location = reply[http::field::location];
  return {.status = static_cast<int>(reply.result_int()),
          .location = std::string(location.data(), location.size())};
}

}  // namespace service
