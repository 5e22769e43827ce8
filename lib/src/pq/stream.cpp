// Reads a statement's answer, result by result: kept as a whole, or handed on row by row.
#include <libpq-fe.h>
#include <poll.h>

#include <string>
#include <utility>

#include <tidegate/pq/errors.hpp>

#include "pq/editions.hpp"
#include "pq/encryption.hpp"
#include "pq/session.hpp"

namespace tidegate::pq {
namespace {

// The rows' callback must not use the connection.
class Busy {
 public:
  explicit Busy(bool& flag) noexcept : flag_(flag) { flag_ = true; }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
  ~Busy() { flag_ = false; }

 private:
  bool& flag_;
};

}  // namespace

void Session::stream(RowSink sink, void* context) {
  const Running running(*this);
  const Busy busy(streaming_);
  Result row{.native = {}, .statement = std::string(without_edition(statement_)), .where = where_};
  Stream rows{.sink = sink, .context = context, .row = row};
  const Answer answer = execute(&rows);
  if (verb_->ends_all()) throw_usage("each: its callback has ended the lease or the connection");
  if (rows.left) return;
  require_success(answer.result.get(), answer.copied);
  // The server was done before the cancel arrived.
  if (rows.cut) {
    throw_ended(limits_.struck(), {.message = "a limit ended the statement between its rows",
                                   .outcome_unknown = true});
  }
}

// Reads everything up to the end of the command. The answer is the first result, or an error that
// comes after it: a deferred constraint may fail after the rows have come. Without an end of the
// command nobody knows how the command ended.
Session::Answer Session::read_answer(Stream* rows, Asked asked) {
  Answer answer;
  while (ResultPtr result = next_result(true)) {
    note_command(result.get(), statement_, prepared_);
    if (observed_) [[unlikely]]
      observed()->answered(result.get());
    if (PQresultStatus(result.get()) == PGRES_SINGLE_TUPLE && rows != nullptr) {
      hand_on(*rows, std::move(result));
    } else if (is_copy(result.get())) {
      answer.copied = true;
      end_copy(PQresultStatus(result.get()));
    } else if (!answer.result || (is_error(result.get()) && !is_error(answer.result.get()))) {
      answer.result = std::move(result);
    } else if (asked == Asked::one_statement) {
      not_asked_for("an answer");
    }
  }
  const bool has_ended = PQtransactionStatus(native()) != PQTRANS_ACTIVE;
  if (!has_ended && !is_error(answer.result.get())) answer.result.reset();
  if (asked == Asked::one_statement && is_left_inside() &&
      !begins_transaction(answer.result.get())) {
    left_inside();
    answer.result.reset();
  }
  return answer;
}

// Whether a transaction is open now and was not before. If no statement has begun it, something
// between us and the server has, and what was answered in it is undone with it (docs/poolers.md).
bool Session::is_left_inside() const noexcept {
  return outside_ && PQtransactionStatus(native()) == PQTRANS_INTRANS;
}

void Session::left_inside() noexcept {
  set_broken(
      "the statement was run in a transaction that nobody has begun, and that was left open: a "
      "pooler in between has begun it, and what was done in it is undone");
}

// Once the sink has left, or a limit is reached, the rest of the rows is canceled; rows that still
// come are dropped.
void Session::hand_on(Stream& rows, ResultPtr result) {
  if (rows.left) return;
  strike_if_over();
  rows.cut = limits_.has_struck();
  if (rows.cut) return;
  rows.row.native = std::move(result);
  rows.row.texts.clear();
  try {
    if (rows.sink(rows.context, Row(&rows.row, 0)) && !verb_->ends_all()) {
      ++rows.row.first;
      return;
    }
  } catch (...) {
    leave(rows);
    read_answer(&rows);
    throw;
  }
  leave(rows);
}

void Session::leave(Stream& rows) noexcept {
  rows.left = true;
  if (!limits_.has_struck() && !has(Flag::broken)) strike(Limit::stop);
}

std::vector<Notification> Session::notifications(Deadline deadline, const std::stop_token& stop,
                                                 Location where) {
  const Verb verb(*this);
  mark_use();
  set(Flag::touched);
  where_ = where;
  statement_.clear();
  if (forgets_) refuse_to_listen();
  const NonBlocking mode(native());
  StopBell rings;
  if (stop.stop_possible() && limits_.open_bell() >= 0) {
    rings.emplace(stop, RingBell{limits_.open_bell()});
  };
  const Deadline until = earlier(deadline, limits_.bound_by());
  std::vector<Notification> all;
  Waited waited = Waited::ready;
  // libpq reads past the answer to a ping only after that answer is taken.
  if (has(Flag::pinging) &&
      ping_until(until, rings ? limits_.open_bell() : detail::Fiber::interrupt_only()) ==
          PingResult::pending) {
    waited = Waited::timed_out;
  }
  bool has_read = false;
  while (all.empty() && waited == Waited::ready) {
    while (PGnotify* one = PQnotifies(native())) {
      const std::unique_ptr<PGnotify, decltype(&PQfreemem)> freed(one, &PQfreemem);
      all.push_back({.channel = one->relname, .payload = one->extra, .pid = one->be_pid});
    }
    if (!all.empty()) break;
    if (PQstatus(native()) != CONNECTION_OK) set_broken(last_words(native()));
    if (has(Flag::broken)) throw_lost({.message = std::string(broken_reason())});
    // As in await_result(): after the deadline a server that always has something else to say is
    // read at most once more.
    if (has_read && until.passed() && held_back(native()) != HeldBack::something) break;
    waited =
        wait_and_read(POLLIN, until, rings ? limits_.open_bell() : detail::Fiber::interrupt_only());
    has_read = true;
  }
  rings.reset();
  if (stop.stop_requested()) limits_.silence_bell();
  return all;
}

}  // namespace tidegate::pq
