// What a pool's health is by the evidence, and how it is told.
#include <tidegate/pool/health.hpp>

#include <tidegate/base/duration.hpp>

#include "base/json.hpp"
#include "base/printable.hpp"

namespace tidegate {
namespace {

using State = Health::State;
using detail::JsonObject;

std::string counted(std::uint32_t count, const char* one) {
  return std::to_string(count) + " " + one + (count == 1 ? "" : "s");
}

bool has_a_connection(const Health& h) noexcept {
  return h.counts.idle + h.counts.leased + h.counts.checking > 0;
}

// The next acquire would have to wait for somebody else's lease.
bool is_exhausted(const Health& h) noexcept {
  return h.counts.idle == 0 && h.counts.leased + h.counts.checking >= h.counts.max;
}

State state_of(const Health& h) noexcept {
  if (h.ended) return State::closed;
  if (h.announced || h.fenced) return State::closing;
  if (h.connects_failed > 0 && !has_a_connection(h)) return State::down;
  const bool moves = !h.last_lease || *h.last_lease < h.patience;
  if (h.counts.waiting > 0 && h.counts.leased > 0 && !moves) return State::stuck;
  return h.counts.waiting > 0 || is_exhausted(h) ? State::busy : State::ok;
}

std::string failure_of(const Health& h) {
  std::string text = "connects fail for " + brief_duration(h.failing_for) + " (" +
                     std::to_string(h.connects_failed) + " in a row): ";
  text += h.connect_error.empty() ? "no reason is known" : detail::one_line(h.connect_error);
  if (!h.sqlstate.empty()) text += " (" + detail::one_line(h.sqlstate) + ")";
  return text;
}

std::string use_of(const Health& h) {
  std::string text;
  if (h.counts.leased < h.counts.max) {
    text = std::to_string(h.counts.leased) + " of " + counted(h.counts.max, "connection");
    text += h.counts.leased == 1 ? " is used" : " are used";
  } else {
    text = h.counts.max == 1 ? "the only connection is used"
                             : "all " + counted(h.counts.max, "connection") + " are used";
  }
  if (h.counts.waiting == 0) return text;
  text += ", " + counted(h.counts.waiting, "acquire");
  text += h.counts.waiting == 1 ? " waits for " : " wait, the oldest for ";
  return text + brief_duration(h.counts.oldest_wait);
}

std::string reason_of(const Health& h) {
  switch (h.state) {
    case State::closed:
    case State::closing: {
      const char* const what = h.ended    ? "closed"
                               : h.fenced ? "the close is under way"
                                          : "the shutdown is announced";
      std::string text = h.closed_by.empty() ? what : what + (" by " + h.closed_by);
      if (!h.ended && h.counts.leased > 0)
        text += "; " + counted(h.counts.leased, "lease") + " out";
      return text;
    }
    case State::down: return failure_of(h);
    case State::stuck: {
      std::string text = use_of(h) + ", and no lease has begun or ended for " +
                         brief_duration(h.last_lease.value_or(h.patience));
      if (h.oldest_lease) text += "; the oldest: " + to_string(*h.oldest_lease);
      return text;
    }
    case State::busy:
    case State::ok: break;
  }
  return use_of(h) + (h.connects_failed > 0 ? "; " + failure_of(h) : std::string());
}

}  // namespace

void detail::judge(Health& health) {
  health.state = state_of(health);
  health.reason = reason_of(health);
}

std::string_view to_string(State state) noexcept {
  switch (state) {
    case State::ok: return "ok";
    case State::busy: return "busy";
    case State::stuck: return "stuck";
    case State::down: return "down";
    case State::closing: return "closing";
    case State::closed: return "closed";
  }
  return "?";
}

std::string to_string(const Health& health) {
  return std::string(to_string(health.state)) + ": " + health.reason;
}

std::string to_json(const Health& h) {
  JsonObject object;
  object.text("state", to_string(h.state)).text("reason", h.reason);
  object.flag("serves", h.serves());
  object.number("max", h.counts.max)
      .number("idle", h.counts.idle)
      .number("leased", h.counts.leased);
  object.number("connecting", h.counts.connecting).number("checking", h.counts.checking);
  object.number("waiting", h.counts.waiting).seconds("oldest_wait_seconds", h.counts.oldest_wait);
  object.add("last_lease_seconds", h.last_lease ? detail::decimal_seconds(*h.last_lease) : "null");
  object.number("connects_failed", h.connects_failed);
  object.seconds("failing_for_seconds", h.failing_for);
  object.text("connect_error", h.connect_error).text("sqlstate", h.sqlstate);
  object.add("oldest_lease",
             h.oldest_lease ? detail::json_string(to_string(*h.oldest_lease)) : "null");
  return object.done();
}

}  // namespace tidegate
