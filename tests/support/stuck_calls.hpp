// StuckCalls: libpq's parts of a connect that do not return. For test programs that link
// support/stuck_calls.cpp, which steps in front of them.
#pragma once

namespace tidegate::test {

enum class LibpqCall { connect_start, connect_poll };

// While it lives, the next `how_many` calls do not return. One at a time.
class StuckCalls {
 public:
  StuckCalls(LibpqCall call, int how_many);
  // Lets them go on, and returns when each has begun to.
  ~StuckCalls();
  StuckCalls(const StuckCalls&) = delete;
  StuckCalls& operator=(const StuckCalls&) = delete;

  // How many are stuck, and how many have been.
  int inside() const;
  int so_far() const;
};

}  // namespace tidegate::test
