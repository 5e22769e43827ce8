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

// What a slot in `checking` or `retiring` is there for. Whoever moves it there, or goes on with it,
// says so; in any other state it means nothing.
enum class Errand : std::uint8_t {
  none,           // retiring: to be ended; checking: maintenance looks at its age
  ping,           // the server is asked whether it is there
  reset,          // the session is cleaned of what a lease has left
  after_release,  // the hook has it, or will
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
// relaxed loads and stores, never a read-modify-write; what a new owner must see is carried by the
// edge through which it got the slot ([dock], [idle-publish], [decide], the wait mutex).
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
  // When that was, for who knows it better than the tick. Needs: the lease is the caller's.
  void begin_at(Tick now) noexcept { since_.store(now, std::memory_order_relaxed); }
  void end_lease(Tick now) noexcept {
    holder_.store(0, std::memory_order_relaxed);
    since_.store(now, std::memory_order_relaxed);
  }
  // The calling thread is the last user of the lease. What the record says of it is a guess: the
  // lease may have been handed on since, to a thread that only gives it back.
  void adopt(std::int32_t thread) noexcept { holder_.store(thread, std::memory_order_relaxed); }
  // The lease lives in a call that the calling thread is in, and ends with that call, on this
  // thread: nobody else can get at it. What the record says of it is certain.
  void adopt_for_call(std::int32_t thread) noexcept {
    holder_.store(-thread, std::memory_order_relaxed);
  }

  bool leased() const noexcept { return holder_.load(std::memory_order_relaxed) != 0; }
  std::int32_t holder() const noexcept {
    const std::int32_t holder = holder_.load(std::memory_order_relaxed);
    return holder < 0 ? -holder : holder;
  }
  // Asked by that thread, it stays true for as long as the thread does nothing else. Relaxed: it
  // reads what it has written itself.
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
  // It has been made.
  void born(Tick now, Tick expires) noexcept {
    set_errand(Errand::none);
    since_.store(now, std::memory_order_relaxed);
    expires_.store(expires, std::memory_order_relaxed);
  }
  Tick expires() const noexcept { return expires_.load(std::memory_order_relaxed); }
  std::uint32_t generation() const noexcept { return generation_.load(std::memory_order_relaxed); }

  Errand errand() const noexcept { return errand_.load(std::memory_order_relaxed); }
  void set_errand(Errand errand) noexcept { errand_.store(errand, std::memory_order_relaxed); }

  // Leases begun here (I7). One after the other, so all but the one that is out have ended.
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

  // A lease writes nothing into the first word of the line, since that is where a gate's is in its
  // own. A processor tells loads and stores apart by where in a page they are, before it knows the
  // page: the read-modify-write of the gate right after the store of the record takes 1.2 to 2
  // times as long where both have the same place in their pages, as one line in 64 has with that of
  // a gate. See LineLayout.
  std::atomic<std::uint32_t> generation_{0};
  std::atomic<Errand> errand_{Errand::none};
  // Not left to the compiler: LineLayout looks at each byte, and padding keeps what was there.
  [[maybe_unused]] std::array<std::uint8_t, 3> rest_of_that_word_{};
  std::atomic<std::int32_t> holder_{0};  // negative: of the thread whose call the lease lives in
  std::atomic<Tick> since_{0};
  std::atomic<Tick> expires_{kNeverExpires};
  std::atomic<std::uint64_t> acquired_{0};
  std::array<std::atomic<std::uint64_t>, kSiteWords> site_{};
};

}  // namespace tidegate::core
