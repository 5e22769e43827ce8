#include "support/program.hpp"

#include <sys/utsname.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>

#include <benchmark/benchmark.h>

#include "support/options.hpp"

namespace bench {
namespace {

// As Linux calls it (x86 only; elsewhere the architecture has to do).
std::string processor() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown processor";
}

// What must agree before two results can be compared. Google Benchmark's own "library_build_type"
// is that of the distribution's package, not ours.
void add_context() {
  utsname system{};
  uname(&system);
  benchmark::AddCustomContext("tidegate_machine", std::string(system.machine) + ", " + processor());
  benchmark::AddCustomContext("tidegate_kernel", system.release);
  benchmark::AddCustomContext("tidegate_build_type", TIDEGATE_BENCH_BUILD_TYPE);
  benchmark::AddCustomContext("tidegate_compiler", TIDEGATE_BENCH_COMPILER);
  benchmark::AddCustomContext("tidegate_flags", TIDEGATE_BENCH_FLAGS);
  benchmark::AddCustomContext("tidegate_cores",
                              std::to_string(std::thread::hardware_concurrency()));
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
    options.fixed_time = std::chrono::duration<double>(seconds);
  }
  argc = kept;
  argv[argc] = nullptr;
  return true;
}

}  // namespace

int run_program(int argc, char** argv, void (*add_rows)()) {
  if (!take_own_options(argc, argv)) {
    std::fprintf(stderr, "%s: --seconds=S needs a positive number\n", argv[0]);
    return 2;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  add_context();
  add_rows();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace bench
