// A lane as its leader sees it. Everything here needs the lead.
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <exception>
#include <new>
#include <stop_token>
#include <utility>

#include <tidegate/pq/errors.hpp>

#include "pool/lanes/lane.hpp"
#include "pool/lanes/lanes.hpp"
#include "pq/pool_access.hpp"
#include "pq/stop_bell.hpp"

namespace tidegate::detail {
namespace {

// How long a lane keeps its connection while callers come without a pause: each lease shows up in
// the books, and may end by age. And how long while acquires wait all the time.
constexpr std::chrono::milliseconds kKeep{10};
// How long a leader reads answers for others when it has its own.
constexpr std::chrono::milliseconds kForOthers{1};
// How many connections in a row may be lost before anything was sent on them.
constexpr int kMostLosses = 3;
// How often a statement is run that others' cancels strike.
constexpr std::uint8_t kMostRuns = 8;
// While nobody waits for the answers that a connection owes, the leader looks for newcomers so
// often.
constexpr std::chrono::milliseconds kLook{10};

thread_local bool leads_now = false;

// While a Leading lives, the thread leads a lane.
struct Leading {
  Leading() noexcept { leads_now = true; }
  ~Leading() { leads_now = false; }
  Leading(const Leading&) = delete;
  Leading& operator=(const Leading&) = delete;
};

}  // namespace

bool Lane::leading() noexcept { return leads_now; }

// Leads until its own statement is over, and somebody else leads, or nobody has to. What goes wrong
// on the way ends its own statement; the others' stay on the lane, or are told that the connection
// is lost.
std::optional<Rows> Lane::lead(Place own, const LaneWish& wish) {
  Lead lead{.own = own, .wish = wish};
  std::exception_ptr failure;
  {
    const Leading scope;
    pq::StopBell stop;
    try {
      if (wish.options.stop.stop_possible()) {
        stop.emplace(wish.options.stop, pq::RingBell{bell_.get()});
      }
      lead_on(lead);
    } catch (...) {
      if (!sent_.empty()) lose_round(&lead);
      drop_connection();
      if (!lead.over) failure = std::current_exception();
    }
    stop.reset();
    if (!lead.over) seats_[own].abandoned = true;
    hand_on();
  }
  if (failure) std::rethrow_exception(failure);
  if (lead.over) return take(own, wish);
  if (lead.moves) {
    LaneCounts::add(counts_.moved);
    return std::nullopt;
  }
  lead.was_sent ? throw_unanswered(wish, lead.limit) : throw_unsent(wish, lead.limit);
}

void Lane::lead_on(Lead& lead) {
  while (!is_ending(lead)) {
    if (sent_.empty()) {
      end_round();
      collect();
      if (lead.over && unsent_.empty()) return;
      if (!may_keep_connection()) {
        drop_connection();
        if (lead.over) return;
        wake_told();
        lease_connection(lead);
        if (lead.over) return;
        collect();  // that was a wait
      }
      if (!open_round(lead)) continue;
      send_round(lead);
      if (lead.over) return;
    }
    read_answers(lead);
    if (lead.over && !sent_.empty()) return;
  }
}

// Whether the leader leaves with its own statement not answered: at a limit, or because a round
// that the statement is not in takes too long.
bool Lane::is_ending(Lead& lead) noexcept {
  if (lead.over) return false;
  const ExecOptions& options = lead.wish.options;
  lead.was_sent = seats_[lead.own].runs > 0;
  const bool late = options.by.passed() || (!lead.was_sent && lead.wish.send_by.passed());
  if (options.stop.stop_requested()) {
    lead.limit = pq::Limit::stop;
  } else if (late) {
    lead.limit = pq::Limit::deadline;
  } else {
    lead.moves = !lead.was_sent && !sent_.empty() && is_slow(pool_.config().lane_limit);
  }
  return lead.moves || lead.limit != pq::Limit::none;
}

// ---- the end of the lead -----------------------------------------------------------------------

// Somebody else leads from here on, or nobody does because nobody is on the lane.
void Lane::hand_on() noexcept {
  for (;;) {
    collect();
    if (pass_on()) return;
    // Nobody waits.
    if (!sent_.empty()) {
      drain();
      continue;
    }
    end_round();
    while (!unsent_.empty()) {
      const Place place = unsent_.pop();
      if (seats_[place].abandoned) {
        queue_.free(place);
      } else if (queue_.claim(place)) {
        tell(place, Fate::elsewhere, nullptr);
      }
    }
    drop_connection();
    if (queue_.rest()) return;
  }
}

// The lease belongs to the next leader, for whoever looks at it, before that one knows of it. True:
// passed on, and nothing of the lane is this thread's any more.
bool Lane::pass_to_one_of(const PlaceLine& line) noexcept {
  for (std::uint32_t i = 0; i < line.size(); ++i) {
    const Place place = line[i];
    if (seats_[place].abandoned || queue_.is_gone(place)) continue;
    if (lease_) lease_.core_->slots().slot(lease_.ticket_.slot()).adopt(seats_[place].owner);
    if (queue_.pass_to(place)) return true;
  }
  return false;
}

// Wakes the next leader first, and then those who have their answers.
bool Lane::pass_on() noexcept {
  std::array<Queue::Sleeper, kPlaces> told;  // the list is the next leader's from then on
  const std::uint32_t count = std::exchange(told_count_, 0);
  std::copy_n(told_.begin(), count, told.begin());
  const bool passed = pass_to_one_of(sent_) || pass_to_one_of(unsent_);
  for (std::uint32_t i = 0; i < count; ++i) Queue::wake(told[i]);
  return passed;
}

// Reads answers that nobody waits for, for a moment.
void Lane::drain() noexcept {
  const Deadline look(kLook);
  while (!sent_.empty() && !look.passed()) {
    switch (round_->next(seats_[sent_.front()].statement)) {
      case pq::LaneRound::Next::answered: settle(sent_.pop(), nullptr); continue;
      case pq::LaneRound::Next::lost: return lose_round(nullptr);
      case pq::LaneRound::Next::waiting: break;
    }
    wake_told();
    round_->wait(earlier(look, cancel_for_the_gone()), -1);
  }
}

// ---- the connection ----------------------------------------------------------------------------

// A lane gives way to acquires, though not to each that waits for a moment: many callers would wait
// for one. After a cancel the connection has to be settled, which the end of a lease does.
bool Lane::may_keep_connection() noexcept {
  const auto& slots = pool_.core().slots();
  if (!lease_ || asked_to_cancel_ || slots.closed() || !pq::PoolAccess(*lease_).usable()) {
    return false;
  }
  const auto now = Clock::now();
  if (slots.waiting() == 0) {
    gives_way_ = Deadline::never();
    return now - leased_ < kKeep;
  }
  if (gives_way_.is_never()) gives_way_ = Deadline(now) + kKeep;
  return Deadline(now) < gives_way_;
}

void Lane::drop_connection() noexcept {
  end_round();
  if (!lease_) return;
  lease_.release();
  asked_to_cancel_ = false;
  gives_way_ = Deadline::never();
  counts_.open.fetch_sub(1, std::memory_order_relaxed);
}

// Waits for a connection as an acquirer does, with the limits of the leader's own statement.
void Lane::lease_connection(Lead& lead) {
  Expected<core::Ticket> ticket = pool_.acquire_for_lane(lead.wish.acquire());
  if (!ticket) {
    if (ticket.error().code() == Errc::closed) tell_unsent(Fate::closed, lead, false);
    ticket.error().raise();
  }
  lease_ = Lease(&pool_.core(), *ticket);
  leased_ = Clock::now();
  counts_.open.fetch_add(1, std::memory_order_relaxed);
  // What a pooler makes of a pipeline, and whose cancel strikes whom, nobody knows.
  if (!lease_->through_pooler()) return;
  pool_.lanes()->switch_off();
  tell_unsent(Fate::elsewhere, lead, true);
}

// ---- a round -----------------------------------------------------------------------------------

void Lane::collect() noexcept {
  queue_.take([this](Place place) { unsent_.push(place); });
}

// False: the connection had ended before; nothing was sent, and another is to be had.
bool Lane::open_round(Lead& lead) {
  try {
    round_.emplace(pq::PoolAccess(*lease_).session(), lead.wish.sql.where());
    return true;
  } catch (const ConnectionLost&) {
    if (!lead.over && ++lead.losses == kMostLosses) throw;
    drop_connection();
    return false;
  }
}

// Sends all that is on the lane.
void Lane::send_round(Lead& lead) {
  heard_ = Clock::now();
  round_began_.store(heard_.time_since_epoch().count(), std::memory_order_relaxed);
  round_->begin_sending(seats_[unsent_.front()].statement, unsent_.size());
  std::uint64_t sent = 0;
  while (!unsent_.empty()) {
    const Place place = unsent_.pop();
    Seat& seat = seats_[place];
    if (seat.abandoned) {
      queue_.free(place);
      continue;
    }
    if (!queue_.claim(place)) continue;
    sent_.push(place);
    ++seat.runs;
    ++sent;
    if (!round_->send(seat.statement)) return lose_round(&lead);
  }
  round_->flush();
  LaneCounts::add(counts_.rounds);
  LaneCounts::add(counts_.statements, sent);
}

// Reads until the round is over, the leader's own statement has met its limit, or the leader has
// done enough for others.
void Lane::read_answers(Lead& lead) noexcept {
  const ExecOptions& own = lead.wish.options;
  while (!sent_.empty()) {
    switch (round_->next(seats_[sent_.front()].statement)) {
      case pq::LaneRound::Next::answered: settle(sent_.pop(), &lead); continue;
      case pq::LaneRound::Next::lost: return lose_round(&lead);
      case pq::LaneRound::Next::waiting: break;
    }
    if (is_ending(lead) || (lead.over && lead.enough.passed())) return;
    wake_told();
    Deadline until = lead.over ? lead.enough : own.by;
    if (!lead.over && !lead.was_sent) {  // looks whether the lane stands still
      const std::chrono::nanoseconds look = pool_.config().lane_limit;
      until = earlier(until, earlier(lead.wish.send_by, Deadline(look)));
    }
    if (round_->wait(earlier(until, cancel_for_the_gone()), bell_.get()) == Waited::woken) {
      eventfd_t rings = 0;
      ::eventfd_read(bell_.get(), &rings);
    }
  }
}

// The server is asked to cancel only while that statement is the oldest that it has not answered:
// it runs, or will at once. Where nothing comes of that the connection is given up, as it is with a
// lease; those behind it would wait for ever. Returns: when to look again.
Deadline Lane::cancel_for_the_gone() noexcept {
  const Place running = sent_.front();
  if (!seats_[running].abandoned && !queue_.is_gone(running)) return Deadline::never();
  if (given_up_by_.is_never()) given_up_by_ = Deadline(round_->drain_bound());
  if (given_up_by_.passed()) {
    round_->give_up();
    return Deadline::now();
  }
  if (ask_again_.passed()) {
    round_->cancel();
    asked_to_cancel_ = true;
    ask_again_ = Deadline(ask_after_);
    ask_after_ *= 2;
  }
  return earlier(ask_again_, given_up_by_);
}

void Lane::end_round() noexcept {
  if (!round_) return;
  round_.reset();
  round_began_.store(0, std::memory_order_relaxed);
  forget_cancels();
}

void Lane::forget_cancels() noexcept {
  ask_again_ = Deadline::now();
  given_up_by_ = Deadline::never();
  ask_after_ = pq::StatementLimits::kAskAgain;
}

// Everybody whose statement was sent is told that the connection is lost. What was not sent stays
// on the lane.
void Lane::lose_round(Lead* lead) noexcept {
  while (!sent_.empty()) {
    const Place place = sent_.pop();
    Seat& seat = seats_[place];
    if (seat.statement.has_failed()) {
      tell(place, Fate::answered, lead);
      continue;
    }
    try {
      seat.loss = round_->loss(seat.statement);
    } catch (const std::bad_alloc&) {
      seat.loss.outcome_unknown = true;
    }
    tell(place, Fate::lost, lead);
  }
  end_round();
}

// ---- one statement -----------------------------------------------------------------------------

// The oldest statement of the round has been answered: its owner is told, or it is run once more.
void Lane::settle(Place place, Lead* lead) noexcept {
  Seat& seat = seats_[place];
  const auto now = Clock::now();
  table_.note(seat.text, now - std::exchange(heard_, now), seat.statement.answer_bytes());
  forget_cancels();
  Fate fate = Fate::answered;
  bool again = false;
  const bool left = seat.abandoned || queue_.is_gone(place);
  if (round_->is_struck(seat.statement)) {
    if (pool_.core().slots().closed()) {
      fate = Fate::canceled;
    } else if (!left && seat.runs < kMostRuns) {
      again = true;
      seat.statement.answer.reset();
      LaneCounts::add(counts_.struck);
    }
  } else if (!left && round_->is_stale(seat.statement)) {
    again = true;
    LaneCounts::add(counts_.rerun);
  }
  if (!again) return tell(place, fate, lead);
  if (queue_.send_again(place)) unsent_.push(place);
}

// Ends the statement. The place is its owner's from here on, or free.
void Lane::tell(Place place, Fate fate, Lead* lead) noexcept {
  Seat& seat = seats_[place];
  seat.fate = fate;
  if (lead != nullptr && lead->own == place) {
    lead->over = true;
    lead->enough = Deadline(kForOthers);
  } else if (seat.abandoned) {
    seat.statement.answer.reset();
    queue_.free(place);
  } else {
    if (const auto sleeper = queue_.answer(place)) told_[told_count_++] = sleeper;
    if (told_count_ == kPlaces) wake_told();
  }
}

void Lane::wake_told() noexcept {
  for (std::uint32_t i = 0; i < told_count_; ++i) Queue::wake(told_[i]);
  told_count_ = 0;
}

// `its_own`: the leader's statement, too; else that stays where it is.
void Lane::tell_unsent(Fate fate, Lead& lead, bool its_own) noexcept {
  collect();
  for (std::uint32_t left = unsent_.size(); left > 0; --left) {
    const Place place = unsent_.pop();
    if (place == lead.own && !its_own) {
      unsent_.push(place);
    } else if (seats_[place].abandoned || place == lead.own || queue_.claim(place)) {
      tell(place, fate, &lead);
    }
  }
}

}  // namespace tidegate::detail
