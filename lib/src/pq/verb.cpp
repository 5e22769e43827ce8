#include <tidegate/pq/verb.hpp>

#include <libpq-fe.h>

#include "pq/session.hpp"
#include "pq/throw_usage.hpp"

namespace tidegate::pq {

Verb::Verb(Session& session) noexcept : session_(session) { session_.verb_ = this; }

// The lease may be somebody else's as soon as it has ended, so nothing comes behind that but the
// end of a session that was closed, which no lease has any more.
Verb::~Verb() {
  session_.verb_ = nullptr;
  Session* const closed = closes_ ? &session_ : nullptr;
  // native_handle() was called meanwhile.
  if (closed == nullptr && session_.has(Session::Flag::native)) {
    PQsetnonblocking(session_.native(), 0);
  }
  if (end_ != nullptr) end_(what_, which_);
  delete closed;
}

void Session::refuse_in_verb(Location where) const {
  if (verb_ == nullptr) return;
  pq::throw_usage(copying_     ? "the connection is in the middle of a COPY"
                  : streaming_ ? "each() is under way on this connection"
                               : "a statement is under way on this connection: what it calls, a "
                                 "Convert<T> or a notice handler, must not use it",
                  where);
}

void Session::require_going_on() const {
  if (verb_->ends_all()) {
    throw_usage("the lease or the connection was ended while the statement began; it was not run");
  }
}

// Its Connection has let go of it. Nothing is read or sent any more.
void Session::close_behind_verb() noexcept {
  leave_transaction();
  belongs_to(nullptr);
  set_broken("it was closed inside a callback");
  verb_->close();
}

}  // namespace tidegate::pq
