// One attempt to connect to one address.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <tidegate/base/deadline.hpp>
#include <tidegate/pq/connect.hpp>

namespace tidegate::pq {

using ConnectParams = std::vector<std::pair<std::string, std::string>>;

// Where to connect to. Empty: libpq's default.
struct Target {
  std::string host{};
  std::string address{};  // numeric, so that libpq looks up no name
  std::string port{};
};

struct AttemptOutcome {
  Connection connection{};
  FileDescriptor duplicate{};
  FailedAttempt failure{};  // when the connection is closed
  bool begun = false;       // given up in the middle of the handshake

  explicit operator bool() const noexcept { return connection.is_open(); }
};

// Needs:    `options.params` name one host at most; `target` is what the failure will name.
// Promises: ends with kind aborted as soon as `wake_fd` is readable (-1: never), with unreachable
//           at the deadline.
// Throws:   std::bad_alloc.
AttemptOutcome attempt(const ConnectOptions& options, const Target& target, int wake_fd,
                       Deadline deadline);

}  // namespace tidegate::pq
