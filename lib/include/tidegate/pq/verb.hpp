// Verb: a call of a Connection that is under way.
#pragma once

#include <cstdint>

#include <tidegate/base/export.hpp>
#include <tidegate/pq/query_observer.hpp>

namespace tidegate::pq {

class Session;

// On the stack of the call, from its first step until after its last. Meanwhile code of the user
// may run (a row's callback, copy_in()'s range, a Convert<T>, a notice handler) and end the lease
// or the connection. That takes place only when the verb is over, so that neither libpq nor the
// verb goes on with freed memory, and nobody else gets a session in the middle of a command.
class TIDEGATE_API Verb {
 public:
  using End = void (*)(void* what, std::uint64_t which) noexcept;

  // `kind`: what an observer of the session is told of it. Needs: no verb is under way on that
  // session.
  explicit Verb(Session& session, QueryKind kind = QueryKind::none) noexcept;
  Verb(const Verb&) = delete;
  Verb& operator=(const Verb&) = delete;
  ~Verb();

  Session& session() const noexcept { return session_; }
  QueryKind kind() const noexcept { return kind_; }

  // The lease or the connection ends with this verb, so nobody needs the rest of its work.
  bool ends_all() const noexcept { return end_ != nullptr || closes_; }

  void end_lease(End end, void* what, std::uint64_t which) noexcept {
    end_ = end;
    what_ = what;
    which_ = which;
  }
  void close() noexcept { closes_ = true; }

 private:
  Session& session_;
  End end_ = nullptr;
  void* what_ = nullptr;
  std::uint64_t which_ = 0;
  QueryKind kind_;
  bool closes_ = false;
};

}  // namespace tidegate::pq
