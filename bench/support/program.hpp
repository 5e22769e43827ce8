// What the benchmark programs have in common: their options, and how they were built.
#pragma once

namespace bench {

// The main() of a benchmark program: reads Google Benchmark's options and --seconds=S, adds the
// rows, runs them. Gives the exit status.
int run_program(int argc, char** argv, void (*add_rows)());

}  // namespace bench
