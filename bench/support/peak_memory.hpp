// How much memory something takes at its peak.
#pragma once

#include <malloc.h>

#include <charconv>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace bench {

// getrusage() knows only the highest peak of the whole process, which an earlier row may have
// climbed; Linux forgets that one on demand (proc(5): clear_refs). What malloc keeps for later is
// given back first, as it would hide what is taken again. For one measurement at a time.
class PeakMemory {
 public:
  PeakMemory() {
    ::malloc_trim(0);
    std::ofstream peak("/proc/self/clear_refs");
    if (!(peak << "5" << std::flush)) throw std::runtime_error("the peak was not forgotten");
    before_ = kib("VmHWM:");
  }
  // Of the resident memory, since the construction.
  long growth_kib() const { return kib("VmHWM:") - before_; }

 private:
  static long kib(std::string_view name) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
      if (!line.starts_with(name)) continue;
      const std::size_t digits = line.find_first_of("0123456789");
      long value = 0;
      std::from_chars(line.data() + digits, line.data() + line.size(), value);
      return value;
    }
    throw std::runtime_error("/proc/self/status does not tell of memory");
  }

  long before_ = 0;
};

}  // namespace bench
