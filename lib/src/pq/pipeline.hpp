// Pipeline: libpq's pipeline mode for a scope.
#pragma once

#include <cstddef>

#include "pq/result.hpp"
#include "pq/session.hpp"

namespace tidegate::pq {

// The destructor leaves pipeline mode in every case: it sends the sync if that is missing, and
// throws away unread results. A connection that cannot leave pipeline mode is broken.
class Pipeline {
 public:
  // Throws: ConnectionLost, UsageError. Needs: Session::begin().
  explicit Pipeline(Session& session);
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;
  ~Pipeline();

  // Counts a statement that was sent. Throws if it could not be.
  void sent(bool accepted);
  // Ends the pipeline: only now the server answers, and ends its implicit transaction.
  void sync();

  // How many statements were sent and have not been answered to their end.
  std::size_t owed() const noexcept { return owed_; }
  // True when the sync has been answered.
  bool synced() const noexcept { return synced_; }
  // Whether next() would return without waiting; to be called between sends.
  bool ready() const noexcept;
  // The next result of the statement under way; null at its end. After the last statement comes the
  // sync's: an error when the transaction could not be committed, then null.
  ResultPtr next();

 private:
  Session& session_;
  const Session::Running running_;
  std::size_t owed_ = 0;
  bool sync_sent_ = false;
  bool synced_ = false;
};

}  // namespace tidegate::pq
