#include "pool/lanes/statement_table.hpp"

#include <algorithm>
#include <functional>
#include <limits>

#include "pq/plain_sql.hpp"

namespace tidegate::detail {
namespace {

// A quarter of the way from what was known to what was seen.
std::uint32_t average(std::uint32_t known, std::uint64_t seen) noexcept {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  seen = std::min(seen, kMost);
  if (known == 0) return static_cast<std::uint32_t>(seen);
  return static_cast<std::uint32_t>((std::uint64_t{known} * 3 + seen + 3) / 4);
}

}  // namespace

StatementTable::Text StatementTable::look_up(std::string_view sql) noexcept {
  const std::uint64_t hash = std::hash<std::string_view>()(sql) | 1;
  Entry& known = entry(hash);
  const std::uint64_t there = known.text.load(std::memory_order_relaxed);
  if ((there | 1) == hash && there != 0) {
    return {.hash = hash,
            .may_travel = (there & 1) != 0,
            .time = std::chrono::microseconds(known.time.load(std::memory_order_relaxed)),
            .bytes = known.bytes.load(std::memory_order_relaxed)};
  }
  const Text text{.hash = hash, .may_travel = pq::may_share_session(sql)};
  known.time.store(0, std::memory_order_relaxed);
  known.bytes.store(0, std::memory_order_relaxed);
  known.text.store(text.may_travel ? hash : hash & ~std::uint64_t{1}, std::memory_order_relaxed);
  return text;
}

void StatementTable::note(const Text& text, std::chrono::nanoseconds time,
                          std::size_t bytes) noexcept {
  Entry& known = entry(text.hash);
  if ((known.text.load(std::memory_order_relaxed) | 1) != text.hash) return;
  const auto micros = std::chrono::ceil<std::chrono::microseconds>(time).count();
  known.time.store(average(known.time.load(std::memory_order_relaxed),
                           static_cast<std::uint64_t>(std::max<std::int64_t>(micros, 1))),
                   std::memory_order_relaxed);
  const std::uint32_t before = known.bytes.load(std::memory_order_relaxed);
  known.bytes.store(bytes > 0 ? average(before, bytes) : before - before / 16,
                    std::memory_order_relaxed);
}

}  // namespace tidegate::detail
