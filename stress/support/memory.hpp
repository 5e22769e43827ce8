// The memory that this process has in use.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <fstream>

namespace tidegate::stress {

// Resident set size in KiB; see proc(5), statm.
inline std::uint64_t resident_kib() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) / 1024;
}

}  // namespace tidegate::stress
