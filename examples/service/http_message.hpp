// What Boost.Beast reads and writes, and what a service makes of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <boost/beast/http.hpp>

#include "http_server.hpp"

namespace service {

using HttpParser = boost::beast::http::request_parser<boost::beast::http::string_body>;
using HttpMessage = boost::beast::http::response<boost::beast::http::string_body>;

inline constexpr std::uint64_t kLongestBody = std::uint64_t{64} * 1024;

// Of a request whose header has been read.
std::string request_id(const HttpParser& parser);  // its X-Request-Id, or ""
bool expects_continue(const HttpParser& parser);

HttpRequest request_of(const HttpParser::value_type& read);
// `keep`: more may follow on the connection.
HttpMessage reply_of(HttpReply&& made, unsigned version, bool keep);
// To what could not be read. None: there is nobody, or nothing, to answer.
std::optional<HttpMessage> refusal_of(const boost::system::error_code& error);

}  // namespace service
