// MovedBytes: how much the process moves within large buffers. For test programs that link
// support/moved_bytes.cpp, which steps in front of memmove.
#pragma once

#include <cstddef>

#include <support/sanitizers.hpp>

namespace tidegate::test {

#if !defined(TIDEGATE_TEST_SANITIZED)
// Counts all threads' calls of memmove() for kLarge bytes or more while it lives. One at a time.
class MovedBytes {
 public:
  static constexpr std::size_t kLarge = std::size_t{64} * 1024;
  MovedBytes() noexcept;
  ~MovedBytes();
  MovedBytes(const MovedBytes&) = delete;
  MovedBytes& operator=(const MovedBytes&) = delete;

  std::size_t so_far() const noexcept;
};
#endif

}  // namespace tidegate::test
