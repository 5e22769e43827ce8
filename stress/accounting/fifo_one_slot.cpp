// Many waiters on one slot are served in the order in which they came. Seen failing: with a list
// that serves the newest waiter first (I8).
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/stops.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

// Wakes the one thread that it is for.
class Call {
 public:
  void make() {
    std::lock_guard lock(mutex_);
    made_ = true;
    changed_.notify_one();
  }
  void await() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return made_; });
    made_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool made_ = false;
};

class FifoOneSlot {
 public:
  explicit FifoOneSlot(Run& run)
      : run_(run),
        size_(4 * run.threads()),
        calls_(new Call[size_]),
        stops_(size_),
        self_(size_, Random::stream(run.seed(), size_)),
        team_(size_, run.seed(), [this](Actor& me) { play(me); }) {}

  void pass() {
    Shape shape = Shape::random(run_.random, 1);
    shape.barge_window = 0us;  // with one, order begins only where it ends
    shape.sampled = false;
    pool_.emplace(shape, run_.seed(), size_ + 1);
    for (int i = 0; i < 4; ++i) round();
    pool_->audit_at_rest(self_);
    pool_->audit_and_close(self_);
    pool_.reset();
  }

 private:
  // The waiters come one after another, each when the one before is in the list; then the slot is
  // released to the first, and goes from hand to hand.
  void round() {
    served_.clear();
    gone_ = 0;
    auto held = pool_->acquire(self_);
    team_.round([&] {
      const Actor::InCall in_call(self_, "queueing up");
      for (std::uint32_t i = 0; i < size_; ++i) {
        calls_[i].make();
        // In this order, so that one that leaves in between is rather missed than counted twice.
        while (gone_.load() + pool_->pool().counts().waiting <= i) std::this_thread::yield();
        if (run_.random.chance(1, 8)) stops_.request(run_.random.below(i + 1));
      }
      pool_->release(std::move(*held), &self_);
    });
    for (std::size_t i = 1; i < served_.size(); ++i) {
      require(served_[i - 1] < served_[i], "I8", "waiter ", served_[i - 1], " was served before ",
              served_[i], ", which came first");
    }
  }

  void play(Actor& me) {
    const std::stop_token stop = stops_.renew(me.index);
    calls_[me.index].await();
    auto held = me.random.chance(1, 8) ? pool_->acquire(me, me.random.up_to(20'000us), stop)
                                       : pool_->acquire(me, Deadline::never(), stop);
    if (!held) {
      ++gone_;
      return;
    }
    served_.push_back(me.index);
    pool_->release(std::move(*held));
  }

  Run& run_;
  const std::uint32_t size_;
  const std::unique_ptr<Call[]> calls_;
  Stops stops_;
  Actor self_;
  std::optional<LedgerPool<>> pool_;
  std::atomic<std::uint32_t> gone_{0};
  std::vector<std::uint32_t> served_;  // guarded by the one lease
  Team team_;
};

const Registered registered({"accounting.fifo-one-slot",
                             "many waiters on one slot are served in the order they came",
                             [](Run& run) {
                               FifoOneSlot scenario(run);
                               while (run.next_pass()) scenario.pass();
                             }});

}  // namespace
}  // namespace tidegate::stress
