// Relacy without its macros; and what every model needs to know of the run it is in.
#pragma once

// Not relacy.hpp itself: it renames the memory orders, `new`, errno and half of <pthread.h>.
#include <relacy/base.hpp>

#include <relacy/context.hpp>
#include <relacy/context_base_impl.hpp>

#include <relacy/atomic.hpp>
#include <relacy/atomic_fence.hpp>
#include <relacy/stdlib/condition_variable.hpp>
#include <relacy/stdlib/event.hpp>
#include <relacy/stdlib/mutex.hpp>
#include <relacy/stdlib/semaphore.hpp>
#include <relacy/test_suite.hpp>
#include <relacy/var.hpp>
#undef $

namespace tidegate::models {

// All of Relacy's "threads" are fibers of one thread, so plain variables will do.
struct Run {
  // Every operation is sequentially consistent: the order in which the fibers run is then the order
  // of events, and "after the fence" can be asserted as it is said. Otherwise loads may see old
  // values, as far as the memory order at hand allows it.
  static inline bool sequential = false;
  // All turns are tried, one after the other; so nothing else is left to chance.
  static inline bool exhaustive = false;
  static inline bool fenced = false;      // `closed` is set on all gates
  static inline bool core_freed = false;  // nothing of the core may be touched any more
  static inline unsigned mutant = 0;      // 0 = the code as it is
};

// Fails the run, which then prints its history. Relacy never returns from that: it abandons the
// fiber.
inline void check(bool holds, const char* what) {
  if (!holds) rl::ctx().fail_test(what, rl::test_result_user_assert_failed, RL_INFO);
}

// While one of these lives, memory comes from malloc. Relacy's own heap draws a lot at each free,
// which doubles the runs of a search through all of them.
class PlainHeap {
 public:
  PlainHeap() { ++(rl::ctx().*Access::disabled); }
  ~PlainHeap() { --(rl::ctx().*Access::disabled); }
  PlainHeap(const PlainHeap&) = delete;
  PlainHeap& operator=(const PlainHeap&) = delete;

 private:
  struct Access : rl::context {
    static constexpr int rl::context::* disabled = &Access::disable_alloc_;
  };
};

}  // namespace tidegate::models
