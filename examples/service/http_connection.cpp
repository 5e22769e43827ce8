// Boost.Beast parses and formats.
#include "http_connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "http_message.hpp"
#include "socket_stream.hpp"

namespace service {
namespace {

namespace http = boost::beast::http;
using namespace std::chrono_literals;
using boost::system::error_code;

// So that connections beyond the number of threads get their turn, too.
constexpr unsigned kRequestsPerConnection = 200;
constexpr std::chrono::milliseconds kKeepAlive = 5s;
constexpr std::chrono::milliseconds kPatience = 5s;

class HttpConnection {
 public:
  HttpConnection(int socket, const HttpCalls& calls, const HttpEnd& end)
      : socket_(socket), stream_(socket, kPatience), calls_(calls), end_(end) {
    const int on = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  ~HttpConnection() {
    ::shutdown(socket_, SHUT_RDWR);
    ::close(socket_);
  }
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  void serve() {
    for (unsigned served = 1; await_request(); ++served) {
      if (!answer(served == kRequestsPerConnection)) return;
    }
  }

 private:
  // A request that has come, or begun to, is served, whatever else is so.
  bool await_request() const {
    if (buffer_.size() > 0) return true;
    pollfd either[] = {{socket_, POLLIN, 0}, {end_.idle.fd(), POLLIN, 0}};
    ::poll(either, 2, static_cast<int>(kKeepAlive.count()));
    return either[0].revents != 0;
  }

  // False: that was the last one.
  bool answer(bool last) {
    HttpParser parser;
    parser.body_limit(kLongestBody);
    error_code error;
    http::read_header(stream_, buffer_, parser, error);
    if (!error) calls_.admit(request_id(parser));
    if (!error && expects_continue(parser)) {
      http::response<http::empty_body> go_on(http::status::continue_, 11);
      http::write(stream_, go_on, error);
    }
    if (!error) http::read(stream_, buffer_, parser, error);
    if (error) {
      if (const auto refused = refusal_of(error)) send(*refused);
      return false;
    }
    const HttpParser::value_type& read = parser.get();
    HttpReply made = calls_.handle(request_of(read));
    // Looked at when the answer is known: whoever is told that the connection stays may use it.
    const bool keep = read.keep_alive() && !last && !end_.closing;
    HttpMessage reply = reply_of(std::move(made), read.version(), keep);
    return send(reply, read.method() == http::verb::head) && keep;
  }

  bool send(const HttpMessage& reply, bool only_head = false) {
    error_code error;
    http::response_serializer<http::string_body> serializer(reply);
    if (only_head) {
      http::write_header(stream_, serializer, error);
    } else {
      http::write(stream_, serializer, error);
    }
    return !error;
  }

  const int socket_;
  SocketStream stream_;
  const HttpCalls& calls_;
  const HttpEnd& end_;
  boost::beast::flat_buffer buffer_{};  // what was read beyond a request is kept for the next
};

}  // namespace

void serve_connection(int socket, const HttpCalls& calls, const HttpEnd& end) {
  HttpConnection(socket, calls, end).serve();
}

}  // namespace service
