// Boost.Beast parses and formats.
#include "http_connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

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
constexpr std::uint64_t kLongestBody = std::uint64_t{64} * 1024;

using Parser = http::request_parser<http::string_body>;
using Request = Parser::value_type;
using Reply = http::response<http::string_body>;

// Beast's string_view is std's in one version and its own in another.
template <class Text>
std::string text_of(const Text& text) {
  return {text.data(), text.size()};
}

HttpRequest request_of(const Request& read) {
  HttpRequest request{.method = text_of(read.method_string()), .path = text_of(read.target())};
  const std::size_t query = request.path.find('?');
  if (query != std::string::npos) {
    add_form(request.params, std::string_view(request.path).substr(query + 1));
    request.path.resize(query);
  }
  const std::string type = text_of(read[http::field::content_type]);
  if (type.starts_with("application/x-www-form-urlencoded")) add_form(request.params, read.body());
  // Whoever asks for the head of a page asks for the page, and gets less of the answer.
  if (read.method() == http::verb::head) request.method = "GET";
  return request;
}

Reply reply_of(HttpReply&& made, unsigned version, bool keep) {
  Reply reply(static_cast<http::status>(made.status), version, std::move(made.body));
  reply.set(http::field::content_type, "application/json");
  if (!made.location.empty()) reply.set(http::field::location, made.location);
  reply.keep_alive(keep);
  reply.prepare_payload();
  return reply;
}

class HttpConnection {
 public:
  HttpConnection(int socket, const HttpServer::Calls& calls, const HttpEnd& end)
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
    Parser parser;
    parser.body_limit(kLongestBody);
    error_code error;
    http::read_header(stream_, buffer_, parser, error);
    if (!error) calls_.admit(text_of(parser.get()["X-Request-Id"]));
    if (!error && text_of(parser.get()[http::field::expect]) == "100-continue") {
      http::response<http::empty_body> go_on(http::status::continue_, 11);
      http::write(stream_, go_on, error);
    }
    if (!error) http::read(stream_, buffer_, parser, error);
    if (error) {
      if (const auto status = refusal(error)) {
        send(reply_of({*status, "{\"error\":\"not a request that is read here\"}\n"}, 11, false));
      }
      return false;
    }
    const Request& read = parser.get();
    HttpReply made = calls_.handle(request_of(read));
    // Looked at when the answer is known: whoever is told that the connection stays may use it.
    const bool keep = read.keep_alive() && !last && !end_.closing;
    Reply reply = reply_of(std::move(made), read.version(), keep);
    return send(reply, read.method() == http::verb::head) && keep;
  }

  // Of what could not be read. None: there is nobody, or nothing, to answer.
  static std::optional<int> refusal(const error_code& error) {
    if (error == http::error::end_of_stream || error == http::error::partial_message) return {};
    if (error == http::error::body_limit) return 413;
    if (error == http::error::header_limit) return 431;
    if (error.category() == make_error_code(http::error::bad_method).category()) return 400;
    return {};
  }

  bool send(const Reply& reply, bool only_head = false) {
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
  const HttpServer::Calls& calls_;
  const HttpEnd& end_;
  boost::beast::flat_buffer buffer_{};  // what was read beyond a request is kept for the next
};

}  // namespace

void serve_connection(int socket, const HttpServer::Calls& calls, const HttpEnd& end) {
  HttpConnection(socket, calls, end).serve();
}

}  // namespace service
