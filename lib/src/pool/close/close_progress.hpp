// Says when a close that waits for leases reports its progress.
#pragma once

#include <chrono>

namespace tidegate::detail {

class CloseProgress {
 public:
  // Is it time for a report, `spent` after the close began? It is after 1 s, 5 s, and then every 10
  // s; once for each of these.
  bool due(std::chrono::nanoseconds spent) noexcept {
    if (spent < next_) return false;
    using std::chrono::seconds;
    next_ = next_ == seconds(1)   ? seconds(5)
            : next_ == seconds(5) ? seconds(10)
                                  : next_ + seconds(10);
    return true;
  }

 private:
  std::chrono::seconds next_{1};
};

}  // namespace tidegate::detail
