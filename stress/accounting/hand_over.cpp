// Leases go from hand to hand in every way there is, and who waits for one is served: nobody is
// told that it waits for itself. Seen failing: with the last user of a lease taken for the only one
// who could end it (I9).
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/pause.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

using Held = LedgerPool<>::Held;

constexpr std::uint32_t kParcelsPerRound = 500;  // of each dispatcher

// A lease on its way to whoever ends it.
struct Parcel {
  enum class End : std::uint8_t { released, discarded, hijacked };
  std::optional<Held> moved{};
  std::shared_ptr<Held> shared{};
  Held* referred = nullptr;
  std::atomic<std::uint32_t>* ended = nullptr;  // of those that are referred to
  bool is_used = false;                         // before its end, there
  End end = End::released;

  Held& held() { return moved ? *moved : shared ? *shared : *referred; }
};

class Post {
 public:
  // Nobody is there to take anything yet.
  void open(std::uint32_t dispatchers) { dispatchers_ = dispatchers; }
  void send(Parcel parcel) {
    {
      const std::lock_guard lock(mutex_);
      parcels_.push_back(std::move(parcel));
    }
    changed_.notify_one();
  }
  // The dispatcher sends no more.
  void leave() {
    const std::lock_guard lock(mutex_);
    if (--dispatchers_ == 0) changed_.notify_all();
  }
  // None: there will be no more.
  std::optional<Parcel> receive() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !parcels_.empty() || dispatchers_ == 0; });
    if (parcels_.empty()) return std::nullopt;
    Parcel parcel = std::move(parcels_.front());
    parcels_.pop_front();
    return parcel;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Parcel> parcels_;
  std::uint32_t dispatchers_ = 0;
};

void dispatch(LedgerPool<>& pool, Post& post, Actor& me) {
  // What goes by reference stays here until all of it has come back.
  std::deque<Held> mine;
  std::atomic<std::uint32_t> ended{0};
  for (std::uint32_t i = 0; i < kParcelsPerRound; ++i) {
    Errc why{};
    auto held = pool.acquire(me, Deadline::never(), {}, &why);
    require(held.has_value(), "I9", "a wait for what others have ended as ", to_string(why));
    if (me.random.chance(1, 2)) pool.use(me, *held);
    Parcel parcel;
    parcel.is_used = me.random.chance(1, 2);
    if (me.random.chance(1, 32)) parcel.end = Parcel::End::discarded;
    if (me.random.chance(1, 32)) parcel.end = Parcel::End::hijacked;
    switch (me.random.below(3)) {
      case 0: parcel.moved.emplace(std::move(*held)); break;
      case 1: parcel.shared = std::make_shared<Held>(std::move(*held)); break;
      default: parcel.referred = &mine.emplace_back(std::move(*held)); parcel.ended = &ended;
    }
    post.send(std::move(parcel));
  }
  post.leave();
  const Actor::InCall call(me, "await parcels");
  require(comes_true(Watchdog::instance().limit() / 2, [&] { return ended == mine.size(); }), "I9",
          "a lease that was handed on is lost");
}

void work(LedgerPool<>& pool, Post& post, Actor& me) {
  for (;;) {
    std::optional<Parcel> parcel;
    {
      const Actor::InCall call(me, "receive");
      parcel = post.receive();
    }
    if (!parcel) return;
    if (parcel->is_used) pool.use(me, parcel->held());
    switch (parcel->end) {
      case Parcel::End::released: pool.release(std::move(parcel->held()), &me); break;
      case Parcel::End::discarded: pool.discard(std::move(parcel->held()), &me); break;
      case Parcel::End::hijacked: pool.hijack(std::move(parcel->held()), &me); break;
    }
    if (parcel->ended != nullptr) parcel->ended->fetch_add(1);
  }
}

void play(Run& run) {
  const std::uint32_t size = std::max(run.threads(), 2U);
  std::optional<LedgerPool<>> pool;
  Post post;
  std::uint32_t dispatchers = 1;
  Actor self(size, Random::stream(run.seed(), size));
  Team team(size, run.seed(), [&](Actor& me) {
    if (me.index < dispatchers) {
      dispatch(*pool, post, me);
    } else {
      work(*pool, post, me);
    }
  });
  while (run.next_pass()) {
    // One alone finds most often that it was the last to use every lease.
    dispatchers = run.random.chance(1, 2) ? 1 : 1 + run.random.below(size - 1);
    pool.emplace(Shape::random(run.random, 1 + run.random.below(run.pool())), run.seed(), size + 1);
    post.open(dispatchers);
    team.round();
    pool->audit_at_rest(self);
    pool->audit_and_close(self);
    pool.reset();
  }
}

const Registered registered({"accounting.hand-over",
                             "leases are acquired here, and used and ended there", play});

}  // namespace
}  // namespace tidegate::stress
