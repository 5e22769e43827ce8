// A lane as its callers see it.
#include "pool/lanes/lane.hpp"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <stop_token>
#include <system_error>
#include <utility>

#include <tidegate/base/error.hpp>
#include <tidegate/base/test_point.hpp>
#include <tidegate/pq/errors.hpp>

#include "pool/pool_impl.hpp"
#include "pq/observed_query.hpp"

namespace tidegate::detail {
namespace {

pq::FileDescriptor open_bell() {
  pq::FileDescriptor bell(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!bell) throw std::system_error(errno, std::generic_category(), "a lane has no eventfd");
  return bell;
}

// A follower looks whether its lane stands still after pool_lane_limit, and then less and less
// often.
constexpr std::chrono::nanoseconds kSeldom = std::chrono::milliseconds(40);

// Ends a follower's wait.
struct StopWait {
  core::LaneQueue<>& queue;
  core::LaneQueue<>::Place place;
  void operator()() const noexcept { queue.stop(place); }
};

}  // namespace

Lane::Lane(PoolImpl& pool, LaneCounts& counts, StatementTable& table)
    : pool_(pool),
      counts_(counts),
      table_(table),
      seats_(std::make_unique<Seat[]>(kPlaces)),
      queue_(kPlaces),
      bell_(open_bell()) {}

std::optional<Rows> Lane::run(Place place, const StatementTable::Text& text, const LaneWish& wish) {
  Seat& seat = seats_[place];
  seat.text = text;
  seat.fate = Fate::answered;
  seat.runs = 0;
  seat.abandoned = false;
  seat.owner = core::current_thread_id();
  const bool leads = queue_.push(place);
  TIDEGATE_TEST_POINT("lane.pushed");
  return leads ? lead(place, wish) : follow(place, wish);
}

bool Lane::is_slow(std::chrono::nanoseconds limit) const noexcept {
  const std::int64_t began = round_began_.load(std::memory_order_relaxed);
  return began != 0 && Clock::now().time_since_epoch().count() - began > limit.count();
}

// Waits until the leader has answered, or the lead is passed on to this caller. Looks now and then
// whether the lane stands still; then the statement goes another way, unless it was sent.
std::optional<Rows> Lane::follow(Place place, const LaneWish& wish) {
  const Deadline by = wish.options.by;
  const std::chrono::nanoseconds limit = pool_.config().lane_limit;
  auto look = limit;
  for (;;) {
    const bool sent = queue_.is_sent(place);
    const Deadline until = sent ? by : earlier(earlier(by, wish.send_by), Deadline(look));
    Queue::Told told = Queue::nothing;
    {
      std::optional<std::stop_callback<StopWait>> stop;
      if (wish.options.stop.stop_possible()) {
        stop.emplace(wish.options.stop, StopWait{queue_, place});
      }
      told = queue_.wait(place, until);
    }
    // From here on nobody else ends the wait; the stop may have done so just now.
    if (told == Queue::nothing) told = queue_.wait(place, Deadline::now());
    if (told == Queue::nothing && by.passed()) {
      told = queue_.give_up(place);
      if (told == Queue::nothing) told = Queue::gone;
    } else if (told == Queue::nothing && !queue_.is_sent(place) &&
               (wish.send_by.passed() || is_slow(limit))) {
      told = queue_.take_back(place);
    }
    switch (told) {
      case Queue::nothing: look = std::max(look, std::min(2 * look, kSeldom)); break;
      case Queue::answered: return take(place, wish);
      case Queue::leads: return lead(place, wish);
      case Queue::withdrawn:
        if (wish.send_by.passed()) throw_unsent(wish, pq::Limit::deadline);
        LaneCounts::add(counts_.moved);
        return std::nullopt;
      case Queue::gone: {
        const pq::Limit why =
            wish.options.stop.stop_requested() ? pq::Limit::stop : pq::Limit::deadline;
        const Queue::Left left = queue_.leave(place);
        if (left == Queue::Left::answered) return take(place, wish, why);
        if (left == Queue::Left::unsent) throw_unsent(wish, why);
        ::eventfd_write(bell_.get(), 1);  // the leader has the server cancel it, if it runs now
        throw_unanswered(wish, why);
      }
    }
  }
}

// Needs: the place is the caller's again. Frees it. `limit`: the caller was about to leave.
std::optional<Rows> Lane::take(Place place, const LaneWish& wish, pq::Limit limit) {
  Seat& seat = seats_[place];
  const Fate fate = seat.fate;
  pq::LaneAnswer answer = seat.statement.take();
  QueryReport loss = std::exchange(seat.loss, {});
  if (wish.observed != nullptr) {
    wish.observed->sent(seat.runs);
    wish.observed->answered(answer.result.get());
  }
  queue_.free(place);
  if (limit != pq::Limit::none && answer.is_canceled()) throw_unanswered(wish, limit);
  switch (fate) {
    case Fate::answered: return std::move(answer).rows();
    case Fate::canceled: std::move(answer).throw_canceled();
    case Fate::lost:
      loss.statement = std::move(answer.text);
      throw ConnectionLost(std::move(loss), answer.where);
    case Fate::closed: pool_.refuse_on_lane(Errc::closed, wish.acquire()).raise();
    case Fate::elsewhere: break;
  }
  return std::nullopt;
}

void Lane::throw_unsent(const LaneWish& wish, pq::Limit why) {
  pool_.refuse_on_lane(why == pq::Limit::stop ? Errc::canceled : Errc::timeout, wish.acquire())
      .raise();
}

void Lane::throw_unanswered(const LaneWish& wish, pq::Limit why) {
  const bool stopped = why == pq::Limit::stop;
  QueryReport report{
      .message = std::string(stopped ? "the statement's stop was requested"
                                     : "the statement's deadline passed") +
                 " after it was sent on a connection that others use, too; whether it has taken "
                 "effect is not known",
      .statement = std::string(wish.sql.text()),
      .outcome_unknown = true};
  if (stopped) throw QueryCanceled(std::move(report), wish.sql.where());
  throw QueryTimeout(std::move(report), wish.sql.where());
}

}  // namespace tidegate::detail
