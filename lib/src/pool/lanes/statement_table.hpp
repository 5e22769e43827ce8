// StatementTable: what a pool with lanes knows of the statements that it has seen.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tidegate::detail {

// A fixed table; a text may push out another, which begins anew at its next use. Any thread,
// without a lock. All memory orders are relaxed: what is read decides about speed only, and whether
// a text may travel stands in one word with the text's hash.
class StatementTable {
 public:
  // A text that was looked up.
  struct Text {
    std::uint64_t hash = 0;  // its lowest bit is set
    bool may_travel = false;
    // Running averages; 0 as long as nothing is known.
    std::chrono::microseconds time{};
    std::size_t bytes = 0;
  };
  Text look_up(std::string_view sql) noexcept;
  // One more run of that text. `bytes`: of its result; 0: not known, what is known slowly fades.
  void note(const Text& text, std::chrono::nanoseconds time, std::size_t bytes) noexcept;

 private:
  struct Entry {
    std::atomic<std::uint64_t> text{0};  // hash, and in the lowest bit whether it may travel
    std::atomic<std::uint32_t> time{0};  // in microseconds
    std::atomic<std::uint32_t> bytes{0};
  };
  static constexpr std::size_t kEntries = 1024;

  Entry& entry(std::uint64_t hash) noexcept { return entries_[(hash >> 1) % kEntries]; }

  std::array<Entry, kEntries> entries_{};
};

}  // namespace tidegate::detail
