// Lane: one connection that many callers share, a statement each.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/sql.hpp>
#include <tidegate/core/lane_queue.hpp>
#include <tidegate/pool/lease.hpp>
#include <tidegate/pq/exec_options.hpp>
#include <tidegate/pq/file_descriptor.hpp>
#include <tidegate/pq/rows.hpp>

#include "pool/lanes/lane_counts.hpp"
#include "pool/lanes/place_line.hpp"
#include "pool/lanes/statement_table.hpp"
#include "pool/pool_impl.hpp"
#include "pq/lane_round.hpp"
#include "pq/statement_limits.hpp"

namespace tidegate::pq {
class ObservedQuery;
}

namespace tidegate::detail {

// What a caller wants of a lane.
struct LaneWish {
  const ExecOptions& options;
  Sql sql;
  std::chrono::steady_clock::time_point began{};
  // Bounds what comes before the statement is sent, as it would an acquire; and whether that is the
  // pool's own acquire_timeout.
  Deadline send_by{};
  bool configured = false;
  pq::ObservedQuery* observed = nullptr;  // null: nobody is told

  AcquireWish acquire() const {
    return {.deadline = send_by,
            .stop = options.stop,
            .where = sql.where(),
            .configured = configured,
            .began = began};
  }
};

// A lane has a connection only while it has statements: whoever leads it leases one, as any
// acquirer does, and brings along what others have put on the lane meanwhile. So a lane gives way
// to acquires that wait, and its connection ages, is checked, reset and closed like every other.
//
// The leader leads in rounds. It sends what is on the lane, reads all answers, and hands each to
// its owner; then it sends the next round, and passes the lead to one whose statement is in that
// round. So nobody works for others for longer than about two rounds, and the server has work
// meanwhile.
class Lane {
 public:
  using Place = core::LaneQueue<>::Place;
  // How many callers fit. Others take another lane, or a connection of their own.
  static constexpr std::uint32_t kPlaces = 128;

  // Throws: std::bad_alloc, std::system_error when there is no descriptor.
  Lane(PoolImpl& pool, LaneCounts& counts, StatementTable& table);
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // A place for a statement; none when the lane is full.
  std::optional<Place> enter(std::uint32_t hint) noexcept { return queue_.enter(hint); }
  // How many callers are on it.
  std::uint32_t callers() const noexcept { return queue_.taken(); }
  // For the place's owner, until run() or leave().
  pq::LaneStatement& statement(Place place) noexcept { return seats_[place].statement; }
  // Gives back a place that was not used.
  void leave(Place place) noexcept {
    seats_[place].statement.end();
    queue_.free(place);
  }
  // Runs the statement, and frees the place in every case. Nothing: it was not sent, and should not
  // wait for this lane any longer.
  // Throws: as Pool's acquiring verbs and Connection's verbs.
  std::optional<Rows> run(Place place, const StatementTable::Text& text, const LaneWish& wish);

  // A round has been under way for longer than that: nobody should join.
  bool is_slow(std::chrono::nanoseconds limit) const noexcept;

  // The calling thread leads a lane of some pool, so that it must not wait on one.
  static bool leading() noexcept;

 private:
  using Queue = core::LaneQueue<>;
  using Clock = std::chrono::steady_clock;

  // What has become of a statement.
  enum class Fate : std::uint8_t {
    answered,   // the server has answered
    canceled,   // the server has canceled it, because the pool closes
    lost,       // it was sent, and the connection was lost
    closed,     // the pool was closed before it was sent
    elsewhere,  // it was not sent, and is to go another way
  };
  // A place's content: its owner's until it is pushed, then the leader's until the owner is told.
  struct Seat {
    pq::LaneStatement statement{};
    StatementTable::Text text{};
    Fate fate = Fate::answered;
    std::uint8_t runs = 0;   // how often it was sent
    bool abandoned = false;  // its owner led, and has left
    std::int32_t owner = 0;  // its thread
    QueryReport loss{};      // with Fate::lost
  };
  // The state of one leader.
  struct Lead {
    Place own;
    const LaneWish& wish;
    bool over = false;                  // its own statement needs nothing more of it
    Deadline enough{};                  // then: when it has read enough for others
    pq::Limit limit = pq::Limit::none;  // that has ended its own statement
    bool was_sent = false;              // when it left
    bool moves = false;                 // its own statement was not sent, and goes another way
    int losses = 0;                     // connections that were lost before anything was sent
  };

  // The owner's side: lane.cpp
  std::optional<Rows> follow(Place place, const LaneWish& wish);
  std::optional<Rows> take(Place place, const LaneWish& wish, pq::Limit limit = pq::Limit::none);
  [[noreturn]] void throw_unsent(const LaneWish& wish, pq::Limit why);
  [[noreturn]] void throw_unanswered(const LaneWish& wish, pq::Limit why);

  // The leader's side: lane_lead.cpp
  std::optional<Rows> lead(Place own, const LaneWish& wish);
  void lead_on(Lead& lead);
  void hand_on() noexcept;
  bool pass_on() noexcept;
  bool pass_to_one_of(const PlaceLine& line) noexcept;
  void collect() noexcept;
  void lease_connection(Lead& lead);
  bool may_keep_connection() noexcept;
  void drop_connection() noexcept;
  bool open_round(Lead& lead);
  void send_round(Lead& lead);
  bool is_ending(Lead& lead) noexcept;
  void read_answers(Lead& lead) noexcept;
  void drain() noexcept;
  void end_round() noexcept;
  void lose_round(Lead* lead) noexcept;
  void settle(Place place, Lead* lead) noexcept;
  void tell(Place place, Fate fate, Lead* lead) noexcept;
  void wake_told() noexcept;
  void tell_unsent(Fate fate, Lead& lead, bool its_own) noexcept;
  Deadline cancel_for_the_gone() noexcept;
  void forget_cancels() noexcept;

  PoolImpl& pool_;
  LaneCounts& counts_;
  StatementTable& table_;
  const std::unique_ptr<Seat[]> seats_;
  Queue queue_;
  const pq::FileDescriptor bell_;  // wakes the leader
  // When the round under way began, in nanoseconds of the steady clock; 0: none is under way.
  // relaxed: a time, which carries nothing.
  std::atomic<std::int64_t> round_began_{0};

  // The leader's; [lane] and [decide] carry it from one to the next.
  Lease lease_{};
  Clock::time_point leased_{};
  Deadline gives_way_ = Deadline::never();  // set while acquires wait
  std::optional<pq::LaneRound> round_{};
  bool asked_to_cancel_ = false;  // on this connection
  PlaceLine unsent_{kPlaces};
  PlaceLine sent_{kPlaces};  // in the round, the oldest first
  // Owners that have been told and may still sleep: a thread that is woken might take the leader's
  // processor, so they are woken when the leader has nothing better to do.
  std::array<Queue::Sleeper, kPlaces> told_{};
  std::uint32_t told_count_ = 0;
  Clock::time_point heard_{};  // when the last answer came, or the round was sent
  // When the server is asked next to cancel what runs, and how long after that again. And when the
  // connection is given up, because nothing has come of that.
  Deadline ask_again_ = Deadline::now();
  Deadline given_up_by_ = Deadline::never();
  std::chrono::milliseconds ask_after_ = pq::StatementLimits::kAskAgain;
};

}  // namespace tidegate::detail
