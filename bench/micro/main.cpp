// The micro suite: what the pool itself costs, without a query. Says in its context how it was built.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>

#include <benchmark/benchmark.h>

#include "micro/rows.hpp"
#include "support/options.hpp"
#include "support/peers.hpp"
#include "support/stage.hpp"

namespace {

// Google Benchmark's own "library_build_type" is that of the distribution's package, not ours.
void add_context() {
  benchmark::AddCustomContext("tidegate_build_type", TIDEGATE_BENCH_BUILD_TYPE);
  benchmark::AddCustomContext("tidegate_compiler", TIDEGATE_BENCH_COMPILER);
  benchmark::AddCustomContext("tidegate_flags", TIDEGATE_BENCH_FLAGS);
  benchmark::AddCustomContext("tidegate_cores",
                              std::to_string(std::thread::hardware_concurrency()));
}

template <class P>
void name_if_missing() {
  if (const auto why = P::missing()) {
    std::fprintf(stderr, "skipped: %s: %s\n", P::kName, why->c_str());
  }
}

void name_missing_peers() {
#if defined(TIDEGATE_BENCH_POOL)
  name_if_missing<bench::PoolPeer>();
#endif
#if !defined(TIDEGATE_BENCH_SOCI)
  std::fprintf(stderr, "skipped: soci: not installed when this was built (libsoci-dev)\n");
#endif
}

// Takes --seconds=S out of the arguments; false when S is no positive number.
bool take_own_options(int& argc, char** argv) {
  constexpr std::string_view kSeconds = "--seconds=";
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    if (!std::string_view(argv[i]).starts_with(kSeconds)) {
      argv[kept++] = argv[i];
      continue;
    }
    char* end = nullptr;
    const double seconds = std::strtod(argv[i] + kSeconds.size(), &end);
    if (*end != '\0' || !(seconds > 0)) return false;
    bench::options.fixed_time = std::chrono::duration<double>(seconds);
  }
  argc = kept;
  argv[argc] = nullptr;
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (!take_own_options(argc, argv)) {
    std::fprintf(stderr, "%s: --seconds=S needs a positive number\n", argv[0]);
    return 2;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  add_context();
  name_missing_peers();
  bench::add_acquire_release_rows();
  bench::add_pool_size_rows();
  bench::add_handover_rows();
  bench::add_exhausted_rows();
  benchmark::RunSpecifiedBenchmarks();
  bench::Stage::clear();
  benchmark::Shutdown();
}
