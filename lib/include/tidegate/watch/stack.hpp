// Stack: where a thread was, from the inside out.
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include <tidegate/base/export.hpp>

namespace tidegate {

// Return addresses, taken in microseconds and without allocating; names are looked up when somebody
// reads them. Copyable.
class TIDEGATE_API Stack {
 public:
  static constexpr std::size_t kMostFrames = 32;

  Stack() noexcept = default;
  // The calling thread's stack, from the caller outwards. A process's first call may allocate.
  static Stack current() noexcept;

  bool empty() const noexcept { return size_ == 0; }
  // One line per frame, "  #0 Server::handle() +0x1f" or, where only the object is known,
  // "  #0 /usr/bin/server +0x1f20" (for addr2line -e); empty when nothing was taken. Names of an
  // executable are known when it is linked with -rdynamic.
  std::string to_string() const;

 private:
  std::array<void*, kMostFrames> frames_{};
  std::size_t size_ = 0;
};

}  // namespace tidegate
