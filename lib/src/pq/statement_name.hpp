// StatementName: what a prepared statement is called on the server.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace tidegate::pq {

// 64 random bits for the names of a session: behind a pooler sessions share a server's session,
// where equal names of two of them would mean one statement. Among a million sessions two draw the
// same bits with a probability of 1 in 30 million.
std::uint64_t draw_for_names();

// "tidegate_", the drawn bits, "_", the number. A session keeps hundreds of statements, so it keeps
// numbers, and makes a name only where it sends one.
class StatementName {
 public:
  StatementName(std::uint64_t drawn, std::uint32_t number) noexcept;
  const char* c_str() const noexcept { return chars_.data(); }
  operator std::string_view() const noexcept { return {chars_.data(), size_}; }

 private:
  std::array<char, 40> chars_{};  // 9 + 13 + 1 + 10 and the NUL at most
  std::uint8_t size_ = 0;
};

}  // namespace tidegate::pq
