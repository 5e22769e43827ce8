// ExecOptions: what a caller may say about one statement besides its text and parameters.
#pragma once

#include <cstdint>
#include <stop_token>

#include <tidegate/base/deadline.hpp>

namespace tidegate {

// How results come over the wire. What Row::get<T>() gives is the same, but that a binary date or
// time is no text, and a bytea or rounded number in binary form is text as the library spells it.
enum class ResultFormat : std::uint8_t {
  automatic,  // text: every type reads it, and a small value costs no more; but binary where the
              // statement is prepared, a column is a bytea, whose text is twice as long, and none
              // is of a type of which get<T>() would give something else
  text,
  binary,  // where the statement is prepared and every column's type is one the library reads in
           // binary form (api: all but arrays); else text
};

struct ExecOptions {
  // The statement is canceled on the server then: QueryTimeout.
  Deadline by{};
  // The same when it is triggered: QueryCanceled.
  std::stop_token stop{};
  // Through the connection's cache of prepared statements; false: an unnamed statement, which means
  // what its text means at that moment. One of the cache is prepared anew when the session itself
  // has changed what texts mean, when it fails because others have, and where they may have without
  // an error after some seconds (pq::ConnectOptions::statement_trust).
  bool prepared = true;
  ResultFormat format = ResultFormat::automatic;
};

}  // namespace tidegate
