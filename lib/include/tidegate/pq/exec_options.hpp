// ExecOptions: what a caller may say about one statement besides its text and parameters.
#pragma once

#include <cstdint>
#include <stop_token>

#include <tidegate/base/deadline.hpp>

namespace tidegate {

// How results come over the wire. It changes the cost, never what Row::get<T>() gives.
enum class ResultFormat : std::uint8_t {
  automatic,  // binary where the statement is described and every type asked for reads it, else text
  text,
  binary,
};

struct ExecOptions {
  // The statement is canceled on the server then: QueryTimeout.
  Deadline by{};
  // The same when it is triggered: QueryCanceled.
  std::stop_token stop{};
  // Through the connection's cache of prepared statements; false: an unnamed statement.
  bool prepared = true;
  ResultFormat format = ResultFormat::automatic;
};

}  // namespace tidegate
