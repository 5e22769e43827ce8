#include "pq/statement_name.hpp"

#include <sys/random.h>

#include <algorithm>
#include <charconv>
#include <random>

namespace tidegate::pq {

std::uint64_t draw_for_names() {
  std::uint64_t drawn = 0;
  if (::getrandom(&drawn, sizeof drawn, 0) == static_cast<ssize_t>(sizeof drawn)) return drawn;
  std::random_device device;  // a kernel without it
  return (std::uint64_t{device()} << 32U) | device();
}

// Writes the name in letters that need no quotes, 5 bits each.
StatementName::StatementName(std::uint64_t drawn, std::uint32_t number) noexcept {
  constexpr std::string_view kBegin = "tidegate_";
  constexpr int kLetters = 13;
  char* at = std::copy(kBegin.begin(), kBegin.end(), chars_.data());
  for (int i = 0; i < kLetters; ++i, drawn >>= 5U) {
    *at++ = "abcdefghijklmnopqrstuvwxyz234567"[drawn % 32];
  }
  *at++ = '_';
  at = std::to_chars(at, chars_.data() + chars_.size() - 1, number).ptr;
  size_ = static_cast<std::uint8_t>(at - chars_.data());
}

}  // namespace tidegate::pq
