#include "pq/editions.hpp"

#include <time.h>

#include <array>
#include <atomic>
#include <charconv>
#include <functional>

#include "pq/statement_name.hpp"

namespace tidegate::pq {
namespace {

// Each edition has the place that its text's hash gives; the place holds the rest of the hash, then
// the edition. No lock, so that a fork() finds none held. Relaxed: each place is complete in
// itself.
constexpr std::size_t kPlaces = 1024;
constexpr std::uint64_t kEdition = (std::uint64_t{1} << 32U) - 1;
std::array<std::atomic<std::uint64_t>, kPlaces> places{};
std::atomic<std::uint32_t> of_all{0};
std::atomic<std::uint32_t> of_looks{0};

constexpr std::string_view kBegin = "\n/* tidegate ";
constexpr std::string_view kEnd = " */";

std::uint32_t draw() {
  const auto drawn = static_cast<std::uint32_t>(draw_for_names());
  return drawn != 0 ? drawn : 1;  // 0: none
}

void append(std::string& text, std::uint32_t edition) {
  std::array<char, 8> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), edition, 16).ptr;
  text.append(kBegin).append(digits.data(), end).append(kEnd);
}

}  // namespace

void next_edition(std::string_view text) noexcept {
  const std::uint64_t hash = std::hash<std::string_view>()(text);
  places[hash % kPlaces].store((hash & ~kEdition) | draw(), std::memory_order_relaxed);
}

void next_looks() noexcept { of_looks.store(draw(), std::memory_order_relaxed); }

void next_edition_of_all() noexcept { of_all.store(draw(), std::memory_order_relaxed); }

void append_edition(std::string& text) {
  const std::uint64_t hash = std::hash<std::string_view>()(text);
  const std::uint64_t found = places[hash % kPlaces].load(std::memory_order_relaxed);
  const bool is_its = found != 0 && (found & ~kEdition) == (hash & ~kEdition);
  const auto edition = is_its ? static_cast<std::uint32_t>(found & kEdition)
                              : of_all.load(std::memory_order_relaxed);
  if (edition != 0) append(text, edition);
}

std::string_view without_edition(std::string_view text) noexcept {
  if (!text.ends_with(kEnd)) return text;
  const std::size_t begin = text.rfind(kBegin);
  return begin == text.npos ? text : text.substr(0, begin);
}

std::string edition_for_a_look(std::string_view text, unsigned seconds) {
  std::uint32_t first = of_looks.load(std::memory_order_relaxed);
  if (first == 0) {  // two threads that see 0 draw two editions, once
    first = draw();
    of_looks.store(first, std::memory_order_relaxed);
  }
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  std::string edition(without_edition(text));
  append(edition, first + static_cast<std::uint32_t>(now.tv_sec / seconds));
  return edition;
}

}  // namespace tidegate::pq
