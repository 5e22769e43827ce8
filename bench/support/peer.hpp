// Peer: what every pool under test looks like to the benchmarks, so that one loop fits them all.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>

namespace bench {

// How big a pool is, and how many of its resources exist before the clock starts.
struct PoolShape {
  std::uint32_t max_size = 4;
  std::uint32_t made = max_size;
  std::uint32_t gates = 0;  // of the core; 0 = as it is by default
  std::string conninfo{};   // words for libpq beside PG*; only for peers with kTakesConninfo

  friend bool operator==(const PoolShape&, const PoolShape&) = default;
};

// A Peer
//   is constructed from a shape, and is warm then: shape.made resources are idle;
//   kName        is its part of a row's name;
//   missing()    says why it cannot run here, or nothing;
//   acquire()    waits for as long as everything is out; any thread;
//   Handle       is what its users hold meanwhile: movable, gives back in its destructor;
//   touch()      goes as far into the resource as a user would before the first query.
template <class P>
concept Peer = std::constructible_from<P, PoolShape> && std::movable<typename P::Handle> &&
               requires(P& peer, typename P::Handle& handle) {
                 { P::kName } -> std::convertible_to<std::string>;
                 { P::missing() } -> std::same_as<std::optional<std::string>>;
                 { peer.acquire() } -> std::same_as<typename P::Handle>;
                 { P::touch(handle) };
               };

}  // namespace bench
