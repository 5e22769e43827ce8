#include <tidegate/pq/verb.hpp>

#include <libpq-fe.h>

#include <string>
#include <utility>

#include "pq/session.hpp"
#include "pq/throw_usage.hpp"

namespace tidegate::pq {

Verb::Verb(Session& session, QueryKind kind) noexcept : session_(session), kind_(kind) {
  session_.verb_ = this;
}

// The session may belong to another lease as soon as this one has ended, so that comes last. Only a
// closed session, which no lease has any more, is ended after it.
Verb::~Verb() {
  if (session_.observed_) [[unlikely]]
    session_.observed()->end();  // in the verb still, whatever it does
  session_.verb_ = nullptr;
  Session* const closed = closes_ ? &session_ : nullptr;
  // native_handle() was called during the verb.
  if (closed == nullptr && session_.has(Session::Flag::native)) {
    PQsetnonblocking(session_.native(), 0);
  }
  if (end_ != nullptr) end_(what_, which_);
  delete closed;
}

void Session::refuse_in_verb(Location where) const {
  if (verb_ == nullptr) return;
  std::string why = copying_     ? "the connection is in the middle of a COPY"
                    : streaming_ ? "each() is under way on this connection"
                                 : "a statement is under way on this connection";
  if (where_.known()) why += ", begun in " + where_.to_string();
  if (!copying_ && !streaming_) {
    why +=
        ": neither what it calls, a Convert<T> or a notice handler, nor another coroutine may "
        "use the connection meanwhile";
  }
  pq::throw_usage(std::move(why), where);
}

void Session::require_going_on() const {
  if (verb_->ends_all()) {
    throw_usage("the lease or the connection was ended while the statement began; it was not run");
  }
}

// The Connection has let go of the session. Nothing is read or sent any more.
void Session::close_behind_verb() noexcept {
  leave_transaction();
  belongs_to(nullptr);
  set_broken("it was closed inside a callback");
  verb_->close();
}

}  // namespace tidegate::pq
