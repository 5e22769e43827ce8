// A server for one client that says what the test tells it to (documentation: 55.7, Message
// Formats). It may be told so on a thread of the test's own: where the client does not do its part
// the test fails, and nobody waits for it without end.
#pragma once

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <support/rendezvous.hpp>
#include <tidegate/base/deadline.hpp>
#include <tidegate/pq/connect.hpp>

namespace tidegate::pq_test {

inline std::string int32(std::uint32_t value) {
  value = htonl(value);
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
inline std::string int16(std::uint16_t value) {
  value = htons(value);
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
inline std::string message(char type, const std::string& body) {
  return type + int32(static_cast<std::uint32_t>(body.size() + 4)) + body;
}
inline std::string c_string(std::string_view text) { return std::string(text) + '\0'; }

// An ErrorResponse ('E') or NoticeResponse ('N').
inline std::string report(char type, const char* severity, const char* code, const char* text) {
  return message(type, "S" + c_string(severity) + "V" + c_string(severity) + "C" + c_string(code) +
                           "M" + c_string(text) + '\0');
}
inline std::string parameter_status(const char* name, const char* value) {
  return message('S', c_string(name) + c_string(value));
}
// The end of a successful handshake: authenticated, parameters, key of backend 4711, ready.
inline std::string welcome(const std::string& parameters = {}) {
  return message('R', int32(0)) + parameters + message('K', int32(4711) + int32(1)) +
         message('Z', "I");
}

// The answer to a simple query that gives one text.
inline std::string one_value(std::string_view value) {
  const std::string column = c_string("value") + int32(0) + int16(0) + int32(25) + int16(0xffff) +
                             int32(0xffffffff) + int16(0);
  const std::string row = int32(static_cast<std::uint32_t>(value.size())) + std::string(value);
  return message('T', int16(1) + column) + message('D', int16(1) + row) +
         message('C', c_string("SELECT 1")) + message('Z', "I");
}
inline std::string empty_answer() { return message('I', "") + message('Z', "I"); }
// What comes before the rows of a statement that was not prepared, and one of them.
inline std::string one_column() {
  const std::string column = c_string("value") + int32(0) + int16(0) + int32(25) + int16(0xffff) +
                             int32(0xffffffff) + int16(0);
  return message('1', "") + message('2', "") + message('T', int16(1) + column);
}
inline std::string one_row(std::string_view value) {
  return message('D',
                 int16(1) + int32(static_cast<std::uint32_t>(value.size())) + std::string(value));
}
// The answer to a statement without rows, and to one that was canceled.
inline std::string done(const char* tag = "SET") {
  return message('1', "") + message('2', "") + message('n', "") + message('C', c_string(tag)) +
         message('Z', "I");
}
// The answer to Parse and Describe of a statement without parameters and rows.
inline std::string prepared() {
  return message('1', "") + message('t', int16(0)) + message('n', "") + message('Z', "I");
}
inline std::string canceled() {
  return report('E', "ERROR", "57014", "canceling statement due to user request") +
         message('Z', "I");
}

// What ends a prepared statement: the message Close where libpq can send it, else the command.
// A part of it, and the whole answer.
#ifdef LIBPQ_HAS_CLOSE_PREPARED
inline std::string end_of(const std::string& name) { return "S" + c_string(name); }
inline std::string ended() { return message('3', "") + message('Z', "I"); }
#else
inline std::string end_of(const std::string& name) { return "DEALLOCATE " + name; }
inline std::string ended() { return done("DEALLOCATE"); }
#endif

class ScriptedServer {
 public:
  // Accepts one client and gives one answer to each of its messages: first the startup message, or
  // the request for TLS if connect() makes one.
  explicit ScriptedServer(std::vector<std::string> answers) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    auto* address = reinterpret_cast<sockaddr*>(&address_);
    if (::bind(listener_.get(), address, size) != 0 || ::listen(listener_.get(), 1) != 0 ||
        ::getsockname(listener_.get(), address, &size) != 0) {
      throw std::runtime_error("cannot listen");
    }
    be_patient(listener_);
    handshake_ = std::jthread([this, answers = std::move(answers)] {
      client_ = accept();
      for (const std::string& answer : answers) {
        receive_message();
        send(answer);
      }
    });
  }

  pq::ConnectOutcome connect(const std::string& sslmode = "disable",
                             pq::ConnectOptions options = {.statement_cache = 0}) {
    options.params = {{"host", "127.0.0.1"},   {"port", port()},     {"user", "somebody"},
                      {"dbname", "something"}, {"sslmode", sslmode}, {"gssencmode", "disable"}};
    pq::ConnectOutcome outcome = pq::connect(options, {}, std::chrono::seconds(30));
    handshake_.join();
    return outcome;
  }

  // For a client of another kind, which is told the port.
  std::string port() const { return std::to_string(ntohs(address_.sin_port)); }
  // Until every answer has been given.
  void await_answers() {
    if (handshake_.joinable()) handshake_.join();
  }

  // Over loopback TCP what was sent is there to be read when send() returns.
  void send(const std::string& bytes) {
    EXPECT_EQ(::send(client_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  // Reads and drops that much of what the client has sent.
  void receive(std::size_t size) {
    std::string bytes(size, ' ');
    EXPECT_EQ(::recv(client_.get(), bytes.data(), size, MSG_WAITALL), static_cast<ssize_t>(size))
        << "the client hung up, or is silent";
  }
  // Reads what libpq sends by one call: a message, or several that belong together.
  std::string receive_message() {
    std::string bytes(4096, '\0');
    const ssize_t size = ::recv(client_.get(), bytes.data(), bytes.size(), 0);
    EXPECT_GT(size, 0) << "the client hung up, or is silent";
    bytes.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return bytes;
  }
  // Whether the client has sent something that nobody has read yet.
  bool has_message() const {
    char byte = 0;
    return ::recv(client_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
  }
  // The same as receive_message() where the client may have hung up.
  std::string receive_message_or_end() {
    std::string bytes(4096, '\0');
    const ssize_t size = ::recv(client_.get(), bytes.data(), bytes.size(), 0);
    bytes.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return bytes;
  }
  // Says that over and over, until it is told to stop or nobody takes it any more.
  void stream(const std::string& bytes, const std::stop_token& stop) {
    const Deadline end = test::patience() / 4;
    while (!stop.stop_requested() && !end.passed()) {
      if (::send(client_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) <= 0) return;
    }
    if (end.passed()) hang_up();
  }
  // Takes the connection of a cancel request, and the request. Closing it ends the request.
  pq::FileDescriptor accept_cancel() {
    pq::FileDescriptor cancel = accept();
    char request[16];
    EXPECT_EQ(::recv(cancel.get(), request, sizeof request, MSG_WAITALL),
              static_cast<ssize_t>(sizeof request))
        << "no cancel request";
    return cancel;
  }
  // From here on connects are refused, those of cancel requests, too.
  void stop_listening() { listener_.reset(); }
  void hang_up() { client_.reset(); }
  // The same without a goodbye of TCP: both directions of the client's socket end at once.
  void reset() {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    EXPECT_EQ(::setsockopt(client_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    client_.reset();
  }

 private:
  static void be_patient(const pq::FileDescriptor& socket) {
    const timeval most{.tv_sec = test::patience().count(), .tv_usec = 0};
    EXPECT_EQ(::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most), 0);
  }
  pq::FileDescriptor accept() {
    pq::FileDescriptor peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(peer) << "nobody has come";
    if (peer) be_patient(peer);
    return peer;
  }

  pq::FileDescriptor listener_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  pq::FileDescriptor client_{};
  sockaddr_in address_{};
  std::jthread handshake_{};
};

}  // namespace tidegate::pq_test
