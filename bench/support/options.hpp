// What the benchmark programs take from their command line beside Google Benchmark's own flags.
#pragma once

#include <chrono>

namespace bench {

struct Options {
  // --seconds=S: how long a row runs that measures for a fixed time.
  std::chrono::duration<double> fixed_time{1.0};
};
inline Options options;

}  // namespace bench
