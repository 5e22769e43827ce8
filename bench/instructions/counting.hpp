// What the programs have in common whose instructions callgrind counts (scripts/bench insn).
#pragma once

#include <sched.h>

#include <cstdio>
#include <cstdlib>

// Makes n cycles of acquire, touch and release on a warm pool. The counter runs while this function
// does, in the thread that is in it; so it must be called, not inlined.
extern "C" [[gnu::noinline]] void tidegate_counted_cycles(void* pool, long n);

namespace bench {

// Keeps this thread, and those it starts, on one core: a thread that is moved finds another gate,
// whose dock is empty, and the count would tell of the scheduler.
inline void stay_on_one_core() {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<std::size_t>(sched_getcpu()), &one);
  sched_setaffinity(0, sizeof one, &one);
}

// Says which row this is and what compiled it, then makes as many cycles as the command line says.
// Gives the exit status. Needs a warm pool.
template <class Pool>
int count_cycles(const char* row, Pool& pool, int argc, char** argv) {
  const long n = argc == 2 ? std::strtol(argv[1], nullptr, 10) : 0;
  if (n <= 0) {
    std::fprintf(stderr, "usage: %s CYCLES\n", argv[0]);
    return 2;
  }
#if defined(__clang__)
  std::printf("%s\tclang++ %d.%d.%d\n", row, __clang_major__, __clang_minor__,
              __clang_patchlevel__);
#else
  std::printf("%s\tg++ %d.%d.%d\n", row, __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
  tidegate_counted_cycles(&pool, n);
  return 0;
}

}  // namespace bench
