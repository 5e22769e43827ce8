// OpenTransaction: what a session and the Transaction objects of one BEGIN share.
#pragma once

#include <cstdint>
#include <vector>

#include <tidegate/base/deadline.hpp>

namespace tidegate::pq {

class Session;

struct OpenTransaction {
  // Null once the lease has ended or the connection was closed: the Transaction objects may live
  // longer, and must not reach into a session that somebody else may have by then.
  Session* session = nullptr;
  // The open serials, outermost first: the transaction's, then its savepoints'. A serial is never
  // reused, so that an object whose savepoint is over is not taken for a later savepoint's.
  std::vector<std::uint64_t> serials{};
  std::uint64_t last_serial = 0;
  Deadline by{};  // TxOptions::by
};

}  // namespace tidegate::pq
