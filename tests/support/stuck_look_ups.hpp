// StuckLookUps: a resolver that does not answer. For test programs that link
// support/stuck_look_ups.cpp, which steps in front of getaddrinfo.
#pragma once

#include <string>

namespace tidegate::test {

// While it lives, look-ups of `host` do not return. One at a time.
class StuckLookUps {
 public:
  explicit StuckLookUps(std::string host);
  // Lets them go (they fail), and returns when each has.
  ~StuckLookUps();
  StuckLookUps(const StuckLookUps&) = delete;
  StuckLookUps& operator=(const StuckLookUps&) = delete;

  // Returns when one is stuck.
  void await_one();
};

}  // namespace tidegate::test
