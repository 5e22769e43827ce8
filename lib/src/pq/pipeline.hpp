// Pipeline: libpq's pipeline mode for a scope.
#pragma once

#include <cstddef>

#include "pq/result.hpp"
#include "pq/session.hpp"

namespace tidegate::pq {

// Its end leaves pipeline mode in every case: what was not synced is, what was not read is thrown
// away. A connection that cannot be brought out of it is broken.
class Pipeline {
 public:
  // Throws: ConnectionLost, UsageError. Needs: Session::begin().
  explicit Pipeline(Session& session);
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;
  ~Pipeline();

  // A statement was sent, or could not be: then it throws.
  void sent(bool accepted);
  // The end: the server answers, and ends its implicit transaction, only now.
  void sync();

  // Statements that were sent and not answered to their end.
  std::size_t owed() const noexcept { return owed_; }
  // The sync has been answered.
  bool synced() const noexcept { return synced_; }
  // Whether next() would return without waiting, in between sending.
  bool ready() const noexcept;
  // The next result of the statement under way; null at its end. After the last one, the sync's: an
  // error when the transaction could not be committed, then null.
  ResultPtr next();

 private:
  Session& session_;
  const Session::Running running_;
  std::size_t owed_ = 0;
  bool sync_sent_ = false;
  bool synced_ = false;
};

}  // namespace tidegate::pq
