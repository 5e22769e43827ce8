// All peers that this build knows.
#pragma once

#include "support/core_peer.hpp"
#include "support/mutex_peer.hpp"
#include "support/peer.hpp"
#include "support/plain_peer.hpp"
#include "support/pool_peer.hpp"
#if defined(TIDEGATE_BENCH_SOCI)
#include "support/soci_peer.hpp"
#endif

namespace bench {

// Calls f.operator()<P>() for each of them that can run here. The others are named by `main`.
template <class F>
void for_each_peer(F&& f) {
  const auto visit = [&]<Peer P>() {
    static const bool runs = !P::missing();
    if (runs) f.template operator()<P>();
  };
  visit.template operator()<CorePeer>();
  visit.template operator()<PoolPeer>();
  visit.template operator()<MutexPeer>();
  visit.template operator()<PlainPeer>();
#if defined(TIDEGATE_BENCH_SOCI)
  visit.template operator()<SociPeer>();
#endif
}

}  // namespace bench
