// Lanes: the lanes of a pool, and which statement takes one.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <tidegate/watch/stats.hpp>

#include "pool/lanes/lane.hpp"
#include "pool/lanes/lane_counts.hpp"
#include "pool/lanes/statement_table.hpp"

namespace tidegate::detail {

class Lanes {
 public:
  // Needs: config().lanes > 0. Throws: std::bad_alloc, std::system_error.
  explicit Lanes(PoolImpl& pool);

  // What the configuration lets travel: nothing where each lease is to be prepared or cleaned.
  static bool possible(const PoolConfig& config) noexcept;

  StatementTable& table() noexcept { return table_; }
  Stats::Lanes stats() const noexcept;

  // A place on a lane for that statement; none when it has to have a connection of its own.
  struct Seat {
    Lane* lane = nullptr;
    Lane::Place place = 0;
  };
  // Whether the statement joins the lanes though a connection may be idle: lanes have connections,
  // so statements wait, and it is a short one, for which a turn of its own would cost more than
  // itself.
  bool prefers(const StatementTable::Text& text) const noexcept {
    return counts_.open.load(std::memory_order_relaxed) > 0 && text.time.count() > 0 &&
           text.time < kShort;
  }
  std::optional<Seat> enter(const StatementTable::Text& text) noexcept;
  // From here on no statement travels.
  void switch_off() noexcept { off_.store(true, std::memory_order_relaxed); }
  bool off() const noexcept { return off_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::chrono::microseconds kShort{500};

  bool may_travel(const StatementTable::Text& text) const noexcept;

  PoolImpl& pool_;
  LaneCounts counts_{};
  StatementTable table_{};
  std::vector<std::unique_ptr<Lane>> lanes_{};
  std::atomic<bool> off_{false};  // relaxed: a hint; the leader looks at each connection
};

}  // namespace tidegate::detail
