// What a session tells its QueryObserver.
#include <libpq-fe.h>

#include <utility>

#include "pq/session.hpp"

namespace tidegate::pq {
namespace {

std::string text_of(const char* text) { return text == nullptr ? "" : text; }

}  // namespace

void Session::observe(std::shared_ptr<QueryObserver> observer) {
  if (seldom_ == nullptr) seldom_ = std::make_unique<Seldom>();
  seldom_->observed = std::make_unique<ObservedQuery>(
      std::move(observer), ObservedQuery::Session{.backend_pid = backend_pid_,
                                                  .database = text_of(PQdb(native())),
                                                  .host = text_of(PQhost(native())),
                                                  .port = text_of(PQport(native()))});
  observed_ = true;
}

void Session::set_acquired_at(AcquiredAt acquired_at, const void* pool) noexcept {
  if (!observed_) return;
  seldom_->acquired_at = acquired_at;
  seldom_->pool = pool;
}

ObservedQuery* Session::observed() const noexcept { return seldom_->observed.get(); }

void Session::observe_begin(const Sql& sql, std::size_t statements) {
  const QueryKind kind = verb_ == nullptr ? QueryKind::none : verb_->kind();
  if (!observed()->begin(kind, sql.text(), sql.where(), statements)) return;
  const bool leased = seldom_->acquired_at != nullptr;
  observed()->in(leased ? seldom_->acquired_at(seldom_->pool, connection()) : Location());
}

}  // namespace tidegate::pq
