// What the text of a failed connect says. Pure.
#pragma once

#include <string>
#include <string_view>

#include <tidegate/pq/connect.hpp>

namespace tidegate::pq {

struct ServerText {
  std::string sqlstate{};  // empty when there is none
  std::string text{};      // one line
};

// libpq has no accessor for the SQLSTATE of a failed connect. In verbose mode it builds the text
// from severity, ":  ", code, ": ", message, then lines for detail, hint and location; of these
// only the punctuation is never translated. The message may hold several reports (TLS refused, then
// tried without): the last counts. Without a code the first line says what happened, the others
// what to do.
ServerText server_text(std::string_view verbose_message);

// How a connect ended, besides its SQLSTATE.
struct ConnectSigns {
  bool shaking_hands = false;     // the server had accepted the connect, and no session had begun
  bool peer_gone = false;         // the server's side of the socket was closed
  bool password_missing = false;  // the server wanted a password and there was none
};

// The failure taxonomy. If either side refuses while the socket between them is still open, that is
// no accident: TLS, a certificate, encryption by GSS, channel binding, a way to log in that is
// asked for or not known, who listens behind a Unix socket. libpq has no code for these refusals,
// and its messages are translated.
ConnectFault fault_of(std::string_view sqlstate, ConnectSigns signs) noexcept;

}  // namespace tidegate::pq
