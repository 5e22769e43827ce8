// LaneQueue: who waits on a lane, and which of them leads it.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include <tidegate/base/assert.hpp>
#include <tidegate/base/deadline.hpp>
#include <tidegate/core/sync.hpp>

namespace tidegate::core {

// A lane is a connection that many callers share (docs/lanes.md). Each caller takes a place, puts
// its request there, and pushes the place. Whoever pushes on a lane that nobody leads leads it;
// everybody else sleeps until the leader has answered, or has passed the leadership on. This class
// knows places only; what is in them, and what a leader does, the lane knows.
//
// A place has two words. Its parker's is decided once: answered, leads, or gone (its owner has
// left). Its mark says how far the leader is with it: waiting, sent or finished; and whether its
// owner has withdrawn it. Leader and owner each set a bit of the mark and see the other's in the
// same step, so the second of the two knows that the place is its own to free.
//
// Invariants: there is one leader at most, and while a place waits there is one (I3); each place
// ends once, answered, gone or withdrawn (I8); it is freed once, by the last who touches it (I5).
//
// [lane]    push() and rest() release; take(), and the push() that begins to lead, acquire.
// Carries:
//           what is in the places, and what the last leader has left.
// [decide]  (parker.hpp) carries the answer, or the leadership and all that the leader had.
// [mark]    whoever sets its bit releases, and acquires what the other's carries: the answer, or
// the
//           place, which is its own to free.
// [place]   free() releases, enter() acquires. Carries: the place.
template <class Sync = StdSync>
class LaneQueue {
 public:
  using Place = std::uint32_t;

  // `places`: how many callers may be on the lane at once. Throws: std::bad_alloc.
  explicit LaneQueue(std::uint32_t places)
      : most_(places),
        words_((places + 63) / 64),
        free_(std::make_unique<Word64[]>(words_)),
        places_(std::make_unique<One[]>(places)) {
    for (Place place = 0; place < places; ++place) free(place);
  }
  LaneQueue(const LaneQueue&) = delete;
  LaneQueue& operator=(const LaneQueue&) = delete;

  // ---- owners: enter(), fill the place, push() once, then wait() -----------------------------

  // A place that nobody has; none when the lane is full. `hint` spreads the search.
  std::optional<Place> enter(std::uint32_t hint) noexcept {
    for (std::uint32_t i = 0; i < words_; ++i) {
      const std::uint32_t at = (hint + i) % words_;
      std::uint64_t bits = free_[at].load(std::memory_order_relaxed);
      while (bits != 0) {
        // [place] acquire
        if (free_[at].compare_exchange_weak(bits, bits & (bits - 1), std::memory_order_acquire,
                                            std::memory_order_relaxed)) {
          const Place place = at * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
          places_[place].parker.emplace();
          places_[place].mark.fetch_and(0, std::memory_order_relaxed);  // relaxed: push() publishes
          return place;
        }
      }
    }
    return std::nullopt;
  }
  // How many places are taken, at one moment or another.
  std::uint32_t taken() const noexcept {
    std::uint32_t free = 0;
    for (std::uint32_t i = 0; i < words_; ++i) {
      free += static_cast<std::uint32_t>(std::popcount(free_[i].load(std::memory_order_relaxed)));
    }
    return most_ - free;
  }
  // Frees a place that was not pushed, or whose owner was told `answered`, or led.
  void free(Place place) noexcept {
    const std::uint64_t bit = std::uint64_t{1} << (place % 64);
    // [place] release
    const std::uint64_t before = free_[place / 64].fetch_or(bit, std::memory_order_release);
    TIDEGATE_ASSERT(I5, (before & bit) == 0);
  }
  // Returns: true when the caller leads from here on.
  bool push(Place place) noexcept {
    std::uint32_t word = word_.load(std::memory_order_relaxed);
    for (;;) {
      places_[place].next = word >> 1;
      // [lane] release, and acquire for one that begins to lead
      if (word_.compare_exchange_weak(word, (place + 1) << 1 | kLed, std::memory_order_acq_rel,
                                      std::memory_order_relaxed)) {
        TIDEGATE_ASSERT(I3, (word & kLed) != 0 || word == 0);  // what waits has a leader
        return (word & kLed) == 0;
      }
    }
  }

  enum Told : std::uint32_t {
    nothing = kUndecided,  // the deadline has passed
    leads,                 // the caller leads
    answered,              // the answer is in the place; the caller frees it
    gone,                  // stop() has ended the wait: call leave()
    withdrawn,             // for take_back() alone
  };
  Told wait(Place place, Deadline deadline) noexcept {
    return static_cast<Told>(places_[place].parker->park(deadline));  // [decide] acquire
  }
  // Ends the owner's wait(), unless that has been decided already. Any thread, while the owner is
  // between push() and the next call below.
  void stop(Place place) noexcept {
    typename Sync::Parker& parker = *places_[place].parker;
    if (parker.decide(gone)) parker.wake();
  }

  // What the owner leaves behind.
  enum class Left : std::uint8_t { unsent, sent, answered };
  // The owner leaves, after wait() has said `gone`. With `answered` the place is still its own;
  // else somebody else frees it.
  Left leave(Place place) noexcept {
    // [mark] release and acquire
    const std::uint32_t mark = places_[place].mark.fetch_or(kWithdrawn, std::memory_order_acq_rel);
    if ((mark & kFinished) != 0) return Left::answered;
    return (mark & kSent) != 0 ? Left::sent : Left::unsent;
  }
  // The owner waits no longer. `nothing`: call leave(); else as from wait().
  Told give_up(Place place) noexcept {
    typename Sync::Parker& parker = *places_[place].parker;
    return parker.decide(gone) ? nothing : static_cast<Told>(parker.value());
  }
  // Takes back a request that has not been sent. `withdrawn`: done, and the place is no longer the
  // caller's. `nothing`: it has been sent, and the wait goes on. Else as from wait().
  Told take_back(Place place) noexcept {
    One& one = places_[place];
    std::uint32_t waiting = 0;
    // [mark] release
    if (!one.mark.compare_exchange_strong(waiting, kWithdrawn, std::memory_order_acq_rel,
                                          std::memory_order_relaxed)) {
      return nothing;
    }
    if (one.parker->decide(gone)) return withdrawn;
    const Told told = static_cast<Told>(one.parker->value());
    if (told == withdrawn) free(place);  // the leader has been here in between
    if (told == leads) one.mark.fetch_and(0, std::memory_order_relaxed);  // relaxed: it leads
    return told;
  }
  // Whether the leader has begun to send it. It may do so at any moment.
  bool is_sent(Place place) const noexcept {
    return (places_[place].mark.load(std::memory_order_relaxed) & kSent) != 0;
  }

  // ---- the leader ----------------------------------------------------------------------------

  // Calls each(place) for every place that was pushed since the last call, the oldest first.
  template <class Each>
  void take(Each&& each) noexcept {
    if (word_.load(std::memory_order_relaxed) == kLed) return;
    // [lane] acquire
    std::uint32_t newest = word_.fetch_and(kLed, std::memory_order_acq_rel) >> 1;
    std::uint32_t oldest = 0;
    while (newest != 0) {
      One& one = places_[newest - 1];
      const std::uint32_t before = one.next;
      one.next = oldest;
      oldest = newest;
      newest = before;
    }
    while (oldest != 0) {
      const Place place = oldest - 1;
      oldest = places_[place].next;
      each(place);
    }
  }
  // Call before a place is sent. False: its owner has withdrawn it, and it is no longer the
  // leader's.
  bool claim(Place place) noexcept {
    std::uint32_t waiting = 0;
    One& one = places_[place];
    // [mark] acquire, of what was withdrawn
    if (one.mark.compare_exchange_strong(waiting, kSent, std::memory_order_acq_rel,
                                         std::memory_order_acquire)) {
      return true;
    }
    // If the owner has not decided its parker yet, it frees the place itself.
    if (!one.parker->decide(withdrawn)) free(place);
    return false;
  }
  // Hands the place back to its owner, with the answer, or whatever else ends its wait. It is no
  // longer the leader's. Returns: whom to wake() soon; null: nobody.
  using Sleeper = typename Sync::Parker*;
  Sleeper answer(Place place) noexcept {
    One& one = places_[place];
    const Sleeper sleeper = &*one.parker;
    if (sleeper->decide(answered)) return sleeper;  // [decide] release
    // [mark] release and acquire
    if ((one.mark.fetch_or(kFinished, std::memory_order_acq_rel) & kWithdrawn) != 0) free(place);
    return nullptr;
  }
  static void wake(Sleeper sleeper) noexcept { sleeper->wake(); }
  // A place that was claimed is to be sent once more. False: its owner has left, and it is no
  // longer the leader's.
  bool send_again(Place place) noexcept {
    std::uint32_t sent = kSent;
    // [mark] acquire, of what was withdrawn
    if (places_[place].mark.compare_exchange_strong(sent, 0, std::memory_order_acq_rel,
                                                    std::memory_order_acquire)) {
      return true;
    }
    free(place);
    return false;
  }
  // The owner has left, or will at once; the place is still the leader's.
  bool is_gone(Place place) const noexcept { return places_[place].parker->value() == gone; }
  // The owner leads from here on. False: it has left.
  bool pass_to(Place place) noexcept {
    typename Sync::Parker& parker = *places_[place].parker;
    if (!parker.decide(leads)) return false;  // [decide] release
    parker.wake();
    return true;
  }
  // Nobody leads from here on. False: somebody has pushed a place since take(), and the caller
  // still leads.
  bool rest() noexcept {
    std::uint32_t alone = kLed;
    // [lane] release
    return word_.compare_exchange_strong(alone, 0, std::memory_order_release,
                                         std::memory_order_relaxed);
  }

 private:
  using Word32 = typename Sync::template Atomic<std::uint32_t>;
  using Word64 = typename Sync::template Atomic<std::uint64_t>;

  static constexpr std::uint32_t kLed = 1;
  // Bits of a mark.
  static constexpr std::uint32_t kSent = 1;
  static constexpr std::uint32_t kFinished = 2;
  static constexpr std::uint32_t kWithdrawn = 4;

  struct alignas(kCacheLine) One {
    std::optional<typename Sync::Parker> parker{};  // a new one for each owner
    Word32 mark{0};
    std::uint32_t next = 0;  // the place pushed before it, and one: until it is taken
  };

  const std::uint32_t most_;
  const std::uint32_t words_;
  const std::unique_ptr<Word64[]> free_;  // a bit for each place
  const std::unique_ptr<One[]> places_;
  // The newest place that was pushed and not taken, and one; shifted by the bit kLed.
  alignas(kCacheLine) Word32 word_{0};
};

}  // namespace tidegate::core
