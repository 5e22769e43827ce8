// What an acquire lacked when its time was over. A pure function.
#pragma once

#include <tidegate/pool/acquire_errors.hpp>

namespace tidegate::detail {

// Checks and connects come first, because they say more than the number of leases; then places that
// are being given up, and places that nobody fills. The rest is `exhausted`: every place holds a
// connection that is leased, or was until a moment ago.
constexpr AcquireTimeout::Cause cause_of(const PoolCounts& counts) noexcept {
  using Cause = AcquireTimeout::Cause;
  if (counts.checking > 0) return Cause::checking;
  if (counts.connecting > 0) return Cause::connecting_slow;
  if (counts.retiring > 0) return Cause::retiring;
  return counts.leased + counts.idle < counts.max ? Cause::not_growing : Cause::exhausted;
}

}  // namespace tidegate::detail
