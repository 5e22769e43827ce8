#include "pq/pipeline.hpp"

#include <libpq-fe.h>

namespace tidegate::pq {

// libpq leaves single-row mode when a statement is sent outside pipeline mode, and before every
// statement of a pipeline but the first (fe-exec.c: PQsendQueryStart, pqPipelineProcessQueue). If
// each(), or a user of the native handle, has left the mode on, it would break up the first one's
// result. A statement without text ends the mode, and is refused before it is sent.
bool Session::enter_pipeline_mode() noexcept {
  PQsendQueryParams(native(), nullptr, 0, nullptr, nullptr, nullptr, nullptr, 0);
  return PQenterPipelineMode(native()) == 1;
}

Pipeline::Pipeline(Session& session) : session_(session), running_(session) {
  if (!session_.enter_pipeline_mode()) session_.throw_unsent();
}

Pipeline::~Pipeline() {
  PGconn* connection = session_.native();
  if (!sync_sent_) PQpipelineSync(connection);
  // Two nulls in a row when nothing is owed: libpq and we do not agree on where we are.
  for (bool ended = false;
       !synced_ && !session_.has(Session::Flag::broken) && PQstatus(connection) == CONNECTION_OK;) {
    const ResultPtr result = session_.next_result();
    if (result == nullptr && ended) break;
    ended = result == nullptr && owed_ == 0;
    if (result == nullptr && owed_ > 0) --owed_;
    if (result == nullptr) continue;
    synced_ = PQresultStatus(result.get()) == PGRES_PIPELINE_SYNC;
  }
  if (PQexitPipelineMode(connection) == 0) session_.set_broken(last_words(connection));
}

void Pipeline::sent(bool accepted) {
  if (!accepted) session_.throw_unsent();
  ++owed_;
}

void Pipeline::sync() {
  sync_sent_ = true;
  if (PQpipelineSync(session_.native()) == 0) session_.throw_unsent();
}

bool Pipeline::ready() const noexcept { return owed_ > 0 && PQisBusy(session_.native()) == 0; }

ResultPtr Pipeline::next() {
  ResultPtr result;
  if (!synced_) result = session_.next_result();
  if (result == nullptr) {
    if (owed_ > 0) --owed_;
    return nullptr;
  }
  if (PQresultStatus(result.get()) != PGRES_PIPELINE_SYNC) return result;
  synced_ = true;
  if (owed_ > 0) session_.not_asked_for("the end of a pipeline");
  return nullptr;
}

}  // namespace tidegate::pq
