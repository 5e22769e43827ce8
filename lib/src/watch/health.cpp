#include <tidegate/watch/health.hpp>

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

bool has_a_connection(const Health& h) noexcept { return h.idle + h.leased + h.checking > 0; }

// The next acquire would have to wait for somebody else's lease.
bool is_exhausted(const Health& h) noexcept {
  return h.idle == 0 && h.leased + h.checking >= h.max;
}

State state_of(const Health& h) noexcept {
  if (h.ended) return State::closed;
  if (h.announced || h.fenced) return State::closing;
  if (h.connects_failed > 0 && !has_a_connection(h)) return State::down;
  const bool moves = !h.last_lease || *h.last_lease < h.patience;
  if (h.waiting > 0 && h.leased > 0 && !moves) return State::stuck;
  return h.waiting > 0 || is_exhausted(h) ? State::busy : State::ok;
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
  if (h.leased < h.max) {
    text = std::to_string(h.leased) + " of " + counted(h.max, "connection");
    text += h.leased == 1 ? " is used" : " are used";
  } else {
    text = h.max == 1 ? "the only connection is used"
                      : "all " + counted(h.max, "connection") + " are used";
  }
  if (h.waiting == 0) return text;
  text += ", " + counted(h.waiting, "acquire");
  text += h.waiting == 1 ? " waits for " : " wait, the oldest for ";
  return text + brief_duration(h.oldest_wait);
}

std::string reason_of(const Health& h) {
  switch (h.state) {
    case State::closed:
    case State::closing: {
      const char* const what = h.ended    ? "closed"
                               : h.fenced ? "the close is under way"
                                          : "the shutdown is announced";
      std::string text = h.closed_by.empty() ? what : what + (" by " + h.closed_by);
      if (!h.ended && h.leased > 0) text += "; " + counted(h.leased, "lease") + " out";
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
  object.number("max", h.max).number("idle", h.idle).number("leased", h.leased);
  object.number("connecting", h.connecting).number("checking", h.checking);
  object.number("waiting", h.waiting).seconds("oldest_wait_seconds", h.oldest_wait);
  object.add("last_lease_seconds", h.last_lease ? detail::decimal_seconds(*h.last_lease) : "null");
  object.number("connects_failed", h.connects_failed);
  object.seconds("failing_for_seconds", h.failing_for);
  object.text("connect_error", h.connect_error).text("sqlstate", h.sqlstate);
  object.add("oldest_lease",
             h.oldest_lease ? detail::json_string(to_string(*h.oldest_lease)) : "null");
  return object.done();
}

}  // namespace tidegate
