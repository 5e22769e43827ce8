// What happens to a connection when its lease ends.
#include "pool/pooled_connection.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::detail {

Release plan_release(PooledConnection& pooled) noexcept {
  using How = Release::How;
  Connection& connection = pooled.connection;
  const ReleaseRules& rules = *pooled.rules;
  const bool clean = pq::PoolAccess(connection).reusable();
  bool reset = rules.reset == ResetPolicy::discard_all;
  if (!clean) {
    if (!pq::PoolAccess(connection).usable())
      return {.how = How::discard, .reason = core::Retired::broken};
    // A server that may no longer be a primary is unfit, too: the reset finds out.
    reset = rules.reset != ResetPolicy::destroy ||
            (pq::PoolAccess(connection).role() != pq::Role::primary &&
             connection.transaction_status() == TransactionStatus::idle);
    if (!reset) return {.how = How::discard, .reason = core::Retired::dirty};
  }
  if (!reset && !rules.after_release) return {.clean = clean};
  const core::Errand errand = reset ? core::Errand::reset : core::Errand::after_release;
  return {.how = How::give_to_maintenance, .errand = errand, .clean = clean};
}

}  // namespace tidegate::detail
