// ExecOptions: what a caller may say about one statement besides its text and parameters.
#pragma once

#include <cstdint>
#include <stop_token>

#include <tidegate/base/deadline.hpp>

namespace tidegate {

// How results come over the wire. Row::get<T>() gives the same either way, except that a binary
// date or time cannot be read as text, and a binary bytea or rounded number has the library's
// spelling.
enum class ResultFormat : std::uint8_t {
  automatic,  // text, which every type reads and which costs no more for a small value; but binary
              // where the statement is prepared, a column is a bytea, whose text is twice as long,
              // and get<T>() would give the same for every column
  text,
  binary,  // binary where the statement is prepared and the library reads the type of every column
           // in binary form (api: all but arrays); else text
};

struct ExecOptions {
  // At this time the statement is canceled on the server: QueryTimeout.
  Deadline by{};
  // When this is triggered the statement is canceled, too: QueryCanceled.
  std::stop_token stop{};
  // True: uses the connection's cache of prepared statements. False: an unnamed statement, which
  // means what its text means at that moment. A cached statement is prepared anew when the session
  // itself has changed what texts mean, when it fails because others have, and after some seconds
  // where others may have without an error (pq::ConnectOptions::statement_trust).
  bool prepared = true;
  ResultFormat format = ResultFormat::automatic;
  // For a Pool's exec(), query_row() and query_value() (PoolConfig::lanes): the statement may
  // travel on a connection that other callers use at the same time. Set this to false for a
  // statement whose functions work on their session, which the text does not show (currval(), a
  // function that calls set_config() or pg_advisory_lock()), or outside of the database: it may be
  // run a second time.
  bool shared = true;
};

}  // namespace tidegate
