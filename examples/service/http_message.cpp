#include "http_message.hpp"

#include <string_view>
#include <utility>

#include "form.hpp"

namespace service {

namespace http = boost::beast::http;

namespace {

// Beast's string_view is std's in one version and its own in another.
template <class Text>
std::string text_of(const Text& text) {
  return {text.data(), text.size()};
}

std::optional<int> status_for(const boost::system::error_code& error) {
  if (error == http::error::end_of_stream || error == http::error::partial_message) return {};
  if (error == http::error::body_limit) return 413;
  if (error == http::error::header_limit) return 431;
  if (error.category() == make_error_code(http::error::bad_method).category()) return 400;
  return {};
}

}  // namespace

std::string request_id(const HttpParser& parser) { return text_of(parser.get()["X-Request-Id"]); }

bool expects_continue(const HttpParser& parser) {
  return text_of(parser.get()[http::field::expect]) == "100-continue";
}

HttpRequest request_of(const HttpParser::value_type& read) {
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

HttpMessage reply_of(HttpReply&& made, unsigned version, bool keep) {
  HttpMessage reply(static_cast<http::status>(made.status), version, std::move(made.body));
  reply.set(http::field::content_type, made.type);
  if (!made.location.empty()) reply.set(http::field::location, made.location);
  reply.keep_alive(keep);
  reply.prepare_payload();
  return reply;
}

std::optional<HttpMessage> refusal_of(const boost::system::error_code& error) {
  const std::optional<int> status = status_for(error);
  if (!status) return {};
  return reply_of({*status, "{\"error\":\"not a request that is read here\"}\n"}, 11, false);
}

}  // namespace service
