// Threads that the system stops at the worst moment. Where a release takes no lock nobody else may
// need it to go on; elsewhere nothing may break, and all goes on when they do. Seen failing: the
// first with a releaser that leaves its gate before its slot is idle (I3), the second with waiters
// that park without a last look (hang).
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <optional>

#include "scenario.hpp"
#include "support/ledger_pool.hpp"
#include "support/pause.hpp"
#include "support/team.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

// ---- at one point ----------------------------------------------------------------------------

// The dock is taken, so a release goes through the queue; it is frozen when the slot is there for
// all to see and the releaser has not left its gate yet. Without test points nobody is frozen.
class FrozenReleaser {
 public:
  explicit FrozenReleaser(Run& run)
      : run_(run),
        self_(2, Random::stream(run.seed(), 2)),
        team_(2, run.seed(), [this](Actor& me) { me.index == 0 ? release(me) : go_on(me); }) {}

  void pass() {
    Shape shape = Shape::random(run_.random, 2);
    shape.gates = 1;
    shape.dock_shift = 0;
    shape.sampled = false;
    pool_.emplace(shape, run_.seed(), 3);
    freeze_.emplace("release.idle_before_leave");
    docked_.emplace(*pool_->acquire(self_));
    queued_.emplace(*pool_->acquire(self_));
    released_ = false;
    team_.round();
    pool_->audit_at_rest(self_);
    pool_->audit_and_close(self_);
    pool_.reset();
  }

 private:
  void release(Actor& me) {
    pool_->release(std::move(*docked_));
    me.freeze = &*freeze_;
    pool_->release(std::move(*queued_));
    me.freeze = nullptr;
    released_ = true;
  }
  void go_on(Actor& me) {
    while (!freeze_->reached && !released_) std::this_thread::yield();
    {
      auto one = pool_->acquire(me, Deadline(5s));
      auto two = pool_->acquire(me, Deadline(5s));
      require(one && two, "I3", "a slot is idle, its releaser frozen, and nobody can have it");
      pool_->release(std::move(*one));
      pool_->release(std::move(*two));
    }
    if (run_.random.chance(1, 2)) {
      const bool drained = pool_->close(me, Deadline(1ms));
      require(!drained || released_, "I7", "drained, and a releaser is inside the pool");
    }
    freeze_->over = true;
  }

  using Held = LedgerPool<>::Held;
  Run& run_;
  std::optional<LedgerPool<>> pool_;
  std::optional<Freeze> freeze_;
  std::optional<Held> docked_;
  std::optional<Held> queued_;
  std::atomic<bool> released_{false};
  Actor self_;
  Team team_;
};

// ---- anywhere --------------------------------------------------------------------------------

// A signal that sleeps: its thread stops wherever it is, inside the queue and inside a lock, too.
void sleep_in_handler(int) {
  const int error = errno;
  const timespec time{0, 3'000'000};
  ::clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
  errno = error;
}

class FrozenAnywhere {
 public:
  explicit FrozenAnywhere(Run& run)
      : run_(run),
        threads_(new std::atomic<std::int32_t>[run.threads()]()),
        self_(run.threads(), Random::stream(run.seed(), run.threads())),
        team_(run.threads(), run.seed(), [this](Actor& me) { play(me); }) {
    struct sigaction action{};
    action.sa_handler = sleep_in_handler;
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGUSR2, &action, &before_);
  }
  ~FrozenAnywhere() { ::sigaction(SIGUSR2, &before_, nullptr); }

  void pass() {
    Shape shape = Shape::random(run_.random, run_.pool());
    shape.sampled = false;
    pool_.emplace(shape, run_.seed(), run_.threads() + 1);
    until_ = std::chrono::steady_clock::now() + 150ms;
    team_.round([this] {
      while (std::chrono::steady_clock::now() < until_) {
        pause(self_.random.up_to(1000us));
        const std::int32_t thread = threads_[self_.random.below(run_.threads())];
        if (thread != 0) ::syscall(SYS_tgkill, ::getpid(), thread, SIGUSR2);
      }
    });
    pool_->audit_at_rest(self_);
    pool_->audit_and_close(self_);
    pool_.reset();
  }

 private:
  void play(Actor& me) {
    threads_[me.index] = me.thread_id();
    while (std::chrono::steady_clock::now() < until_) {
      auto held =
          me.random.chance(1, 4) ? pool_->acquire(me, me.random.up_to(3000us)) : pool_->acquire(me);
      if (!held) continue;
      spin(me.random, 100);
      pool_->release(std::move(*held));
    }
  }

  Run& run_;
  struct sigaction before_{};
  std::unique_ptr<std::atomic<std::int32_t>[]> threads_;
  std::optional<LedgerPool<>> pool_;
  std::chrono::steady_clock::time_point until_;
  Actor self_;
  Team team_;
};

template <class S>
void play(Run& run) {
  S scenario(run);
  while (run.next_pass()) scenario.pass();
}

const Registered registered[] = {
    Registered({"accounting.frozen-releaser", "a releaser stops between enqueue and leave",
                play<FrozenReleaser>}),
    Registered({"accounting.frozen-anywhere", "threads stop anywhere, inside the queue, too",
                play<FrozenAnywhere>}),
};

}  // namespace
}  // namespace tidegate::stress
