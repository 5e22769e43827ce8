// Ticket: a slot in hand. Entered: how the first step of an acquire went.
#pragma once

#include <cstdint>

namespace tidegate::core {

// The most slots that a pool can have.
inline constexpr std::uint32_t kMostSlots = 65'535;

// A slot in hand, and the gate on which its lease is counted. One word, because two halves that are
// written apart and copied together cost a store-forwarding stall on the warm path.
class Ticket {
 public:
  constexpr Ticket() noexcept = default;
  constexpr Ticket(std::uint32_t slot, std::uint32_t gate) noexcept
      : both_(std::uint64_t{gate} << 32 | slot) {}
  constexpr std::uint32_t slot() const noexcept { return static_cast<std::uint32_t>(both_); }
  constexpr std::uint32_t gate() const noexcept { return static_cast<std::uint32_t>(both_ >> 32); }

 private:
  std::uint64_t both_ = 0;
};

enum class Entry : std::uint8_t { closed, admitted, docked };

struct Entered {
  Entry entry;
  Ticket ticket;  // the gate unless closed; the slot as well when docked
};

}  // namespace tidegate::core
