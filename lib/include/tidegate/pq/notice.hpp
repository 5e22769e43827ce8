// What the server says without being asked: notices (RAISE NOTICE, warnings, ...), and
// notifications of channels that are listened to.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace tidegate {

// Valid during the handler's call.
struct Notice {
  std::string_view severity{};  // "NOTICE", "WARNING", ...; never translated
  std::string_view sqlstate{};
  std::string_view message{};
  std::string_view detail{};
  std::string_view hint{};
};

// Called on the thread that uses the connection, in the middle of a call on it: a handler must not
// use the connection. Its exceptions are dropped.
using NoticeHandler = std::function<void(const Notice&)>;

// NOTIFY channel, 'payload', by the server process `pid`.
struct Notification {
  std::string channel{};
  std::string payload{};
  int pid = 0;
};

}  // namespace tidegate
