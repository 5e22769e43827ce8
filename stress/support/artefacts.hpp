// Artefacts: what a run leaves in its folder for whoever looks into it: report.json and, after a
// hang, stacks. (Its log is kept by scripts/stress.)
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "support/watchdog.hpp"

namespace tidegate::stress {

// From here on artefacts go to this folder, which exists. Empty: there are none. Before threads
// start.
void set_artefacts(const std::string& folder, std::uint64_t seed, const std::string& replay,
                   std::string_view build);
// For the end of a run: "artefacts: stress-results/4711\n", or nothing.
std::string artefacts_line();

// A scenario begins; the one before has passed, with so many passes. The report on disk
// is always that of a run which is cut off now. Main thread only.
void begin_in_report(std::string_view scenario);
void passed_in_report(std::uint64_t passes, const Watchdog::Tally& tally,
                      std::chrono::duration<double> took);
// The last word. Allocates nothing: it may come out of a signal handler.
void write_report(std::string_view verdict, int status, std::string_view what) noexcept;

// The stacks of all threads, by eu-stack or else gdb; their names and system calls where neither is
// installed. Also for threads that block every signal, as the pool's do.
void write_stacks();

}  // namespace tidegate::stress
