// What becomes of a connection when its lease ends.
#include "pool/pooled_connection.hpp"

namespace tidegate::detail {

Release plan_release(PooledConnection& pooled) noexcept {
  using How = Release::How;
  Connection& connection = pooled.connection;
  const ReleaseRules& rules = *pooled.rules;
  const bool clean = connection.reusable();
  bool wash = rules.reset == ResetPolicy::discard_all;
  if (!clean) {
    if (!connection.usable()) return {.how = How::discard, .reason = core::Retired::broken};
    // A server that may be a primary no more makes it unfit, too: the laundry finds out.
    wash = rules.reset != ResetPolicy::destroy ||
           (connection.role() != pq::Role::primary &&
            connection.transaction_status() == TransactionStatus::idle);
    if (!wash) return {.how = How::discard, .reason = core::Retired::dirty};
  }
  if (!wash && !rules.after_release) return {.clean = clean};
  const core::Errand errand = wash ? core::Errand::reset : core::Errand::after_release;
  return {.how = How::hand_over, .errand = errand, .clean = clean};
}

}  // namespace tidegate::detail
