// Slot: the lease record and the statistics of one place for a resource.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <limits>
#include <string_view>

#include <tidegate/base/assert.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/core/sync.hpp>

namespace tidegate::core {

// Nanoseconds of the pool's coarse tick: the steady clock as maintenance last wrote it (every 10 ms
// while a resource is open). The warm path reads this and no clock.
using Tick = std::int64_t;
inline constexpr Tick kNeverExpires = std::numeric_limits<Tick>::max();

// Why a slot is in `checking` or `retiring`. Whoever moves the slot there, or goes on with it, sets
// the errand; in any other state it means nothing.
enum class Errand : std::uint8_t {
  none,           // retiring: to be ended; checking: maintenance looks at its age
  ping,           // the server is asked whether it is there
  reset,          // the session is cleaned of what a lease has left
  after_release,  // the hook has the slot, or will
  before_close,   // the same, on the way to its end
  termination,    // the connection is closed; its server process is awaited
};

constexpr std::string_view to_string(Errand errand) noexcept {
  switch (errand) {
    case Errand::none: return "none";
    case Errand::ping: return "ping";
    case Errand::reset: return "reset";
    case Errand::after_release: return "after_release";
    case Errand::before_close: return "before_close";
    case Errand::termination: return "termination";
  }
  return "?";
}

// Only the slot's owner (lessee, opener, maintenance: I2) writes here; anybody may read. Hence
// relaxed loads and stores, never a read-modify-write. The edge by which a new owner got the slot
// carries what that owner must see ([dock], [idle-publish], [decide], the wait mutex).
class alignas(kCacheLine) Slot {
 public:
  struct Record {
    std::int32_t holder = 0;  // thread id: who acquired it or used it last; 0 = not leased
    Location site{};
    Tick since = 0;
  };

  // The lease record (I6): exactly one while leased, none otherwise.
  void begin_lease(std::int32_t thread, Location site, Tick now) noexcept {
    TIDEGATE_DEBUG_ASSERT(I6, !leased());
    store_site(site);
    since_.store(now, std::memory_order_relaxed);
    holder_.store(thread, std::memory_order_relaxed);
    acquired_.store(acquired() + 1, std::memory_order_relaxed);
  }
  // Corrects the lease's start, for a caller that read a clock. Needs: the lease is the caller's.
  void begin_at(Tick now) noexcept { since_.store(now, std::memory_order_relaxed); }
  void end_lease(Tick now) noexcept {
    holder_.store(0, std::memory_order_relaxed);
    since_.store(now, std::memory_order_relaxed);
  }
  // Records the calling thread as the last user of the lease. The record is a guess: the lease may
  // have been handed on since, to a thread that only gives it back.
  void adopt(std::int32_t thread) noexcept { holder_.store(thread, std::memory_order_relaxed); }
  // Records that the lease lives in a call of the calling thread, and ends with that call, on this
  // thread. The record is certain, because no other thread can reach the lease.
  void adopt_for_call(std::int32_t thread) noexcept {
    holder_.store(-thread, std::memory_order_relaxed);
  }

  bool leased() const noexcept { return holder_.load(std::memory_order_relaxed) != 0; }
  std::int32_t holder() const noexcept {
    const std::int32_t holder = holder_.load(std::memory_order_relaxed);
    return holder < 0 ? -holder : holder;
  }
  // When `thread` itself asks, the answer stays true for as long as it does nothing else. Relaxed:
  // the thread reads what it has written itself.
  bool in_call_of(std::int32_t thread) const noexcept {
    return holder_.load(std::memory_order_relaxed) == -thread;
  }
  // Leased: when the lease began. Otherwise: when the last one ended, or the resource was
  // published.
  Tick since() const noexcept { return since_.load(std::memory_order_relaxed); }
  Record record() const noexcept { return {holder(), load_site(), since()}; }

  // The making of a resource begins. `generation`: the pool's.
  void begin_making(std::uint32_t generation) noexcept {
    generation_.store(generation, std::memory_order_relaxed);
  }
  // The resource has been made.
  void born(Tick now, Tick expires) noexcept {
    set_errand(Errand::none);
    since_.store(now, std::memory_order_relaxed);
    expires_.store(expires, std::memory_order_relaxed);
  }
  Tick expires() const noexcept { return expires_.load(std::memory_order_relaxed); }
  std::uint32_t generation() const noexcept { return generation_.load(std::memory_order_relaxed); }

  Errand errand() const noexcept { return errand_.load(std::memory_order_relaxed); }
  void set_errand(Errand errand) noexcept { errand_.store(errand, std::memory_order_relaxed); }

  // Leases begun here (I7). They follow one another, so all have ended but the one that is out.
  std::uint64_t acquired() const noexcept { return acquired_.load(std::memory_order_relaxed); }
  std::uint64_t ended() const noexcept {
    const std::uint64_t begun = acquired();
    return begun > 0 && leased() ? begun - 1 : begun;
  }

 private:
  static constexpr std::size_t kSiteWords =
      (sizeof(Location) + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t);
  using SiteWords = std::array<std::uint64_t, kSiteWords>;
  static_assert(sizeof(Location) == sizeof(SiteWords), "the site is stored word by word");

  void store_site(Location site) noexcept {
    const auto words = std::bit_cast<SiteWords>(site);
    for (std::size_t i = 0; i < kSiteWords; ++i) {
      site_[i].store(words[i], std::memory_order_relaxed);
    }
  }
  Location load_site() const noexcept {
    SiteWords words;
    for (std::size_t i = 0; i < kSiteWords; ++i)
      words[i] = site_[i].load(std::memory_order_relaxed);
    return std::bit_cast<Location>(words);
  }

  // A lease writes nothing into the first word of the line, because a gate's word is the first word
  // of its own line. A processor first tells loads and stores apart by their offset in the page. If
  // the record and the gate's word had the same offset, as one slot line in 64 has with a gate's
  // line, the gate's read-modify-write right after the store of the record would take 1.2 to 2
  // times as long. See LineLayout.
  std::atomic<std::uint32_t> generation_{0};
  std::atomic<Errand> errand_{Errand::none};
  // A member, not compiler padding: LineLayout looks at each byte, and padding keeps old bytes.
  [[maybe_unused]] std::array<std::uint8_t, 3> rest_of_that_word_{};
  std::atomic<std::int32_t> holder_{0};  // negative: the lease lives in a call of that thread
  std::atomic<Tick> since_{0};
  std::atomic<Tick> expires_{kNeverExpires};
  std::atomic<std::uint64_t> acquired_{0};
  std::array<std::atomic<std::uint64_t>, kSiteWords> site_{};
};

}  // namespace tidegate::core
