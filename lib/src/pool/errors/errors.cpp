#include <tidegate/pool/errors.hpp>

#include <utility>

#include "pool/errors/error_text.hpp"

namespace tidegate {
namespace {

using detail::counted;
using detail::indented;
using detail::one_line;
using detail::pool_text;
using detail::short_place;
using detail::this_acquire;

std::string deadlock_text(const std::string& pool, WouldDeadlock::Situation situation,
                          const std::vector<LeaseHolder>& held, Location where) {
  std::string text = pool_text(pool) + ": ";
  std::string hint;
  switch (situation) {
    case WouldDeadlock::Situation::acquire:
      text += "acquire would wait for ever: this thread is in " +
              (held.size() == 1 ? "a call" : std::to_string(held.size()) + " calls") +
              " of the pool (with, transact, copy) that " + (held.size() == 1 ? "has" : "have") +
              (held.size() == 1 ? " the only lease" : " all leases");
      hint = "use the connection that the call has given instead of acquiring again";
      break;
    case WouldDeadlock::Situation::acquire_in_hook:
      text += "acquire would wait in a hook of this pool, and the pool waits for the hook";
      hint = "use the connection that the hook is given, or try_acquire()";
      break;
    case WouldDeadlock::Situation::nested_acquire:
      text += "acquire is refused: this thread was the last to acquire or use " +
              counted(held.size(), "lease") + " that " + (held.size() == 1 ? "is" : "are") +
              " out, and threads that hold one and wait for another may wait for each other";
      hint =
          "pass the connection down instead of acquiring again; if it was handed on, adopt() it "
          "there; or set pool_nested_acquire to warn or off";
      break;
    case WouldDeadlock::Situation::close_with_lease:
      text += "close would wait for ever: this thread is in a call of the pool (with, transact, " +
              std::string("copy) that has ") + (held.size() == 1 ? "a lease" : "leases");
      hint = "close after that call, or use request_close() here";
      break;
    case WouldDeadlock::Situation::close_on_pool_thread:
      text += "close would wait for itself: it is called from a hook or a thread of this pool";
      hint = "call request_close() here, and close() elsewhere";
      break;
  }
  if (!held.empty()) text += ": " + describe_holders(held);
  text += "\n  hint: " + hint;
  if (where.known()) text += "\n  this call: " + short_place(where);
  return text;
}

std::string hook_text(const std::string& pool, const std::string& hook, const std::string& reason,
                      Location where) {
  std::string text = pool_text(pool) + ": hook " + one_line(hook) + " failed";
  if (!reason.empty()) text += ": " + indented(reason, "  ");
  return text + this_acquire(where);
}

std::string what_of(const std::exception_ptr& cause) {
  if (!cause) return {};
  try {
    std::rethrow_exception(cause);
  } catch (...) {
    return detail::what_is_handled();
  }
}

// A nested_exception takes the exception that is being handled when it is made: so handle `cause`.
std::nested_exception nest(const std::exception_ptr& cause) noexcept {
  if (!cause) return {};
  try {
    std::rethrow_exception(cause);
  } catch (...) {
    return {};
  }
}

}  // namespace

HookError::HookError(const std::string& pool, const std::string& hook, std::exception_ptr cause,
                     Location where)
    : Error(Errc::hook, hook_text(pool, hook, what_of(cause), where), where),
      std::nested_exception(nest(cause)),
      hook_(std::make_shared<const std::string>(hook)) {}
HookError::HookError(const std::string& pool, const std::string& hook, const std::string& reason,
                     Location where)
    : Error(Errc::hook, hook_text(pool, hook, reason, where), where),
      hook_(std::make_shared<const std::string>(hook)) {}
HookError::~HookError() = default;

WouldDeadlock::WouldDeadlock(const std::string& pool, Situation situation,
                             const std::vector<LeaseHolder>& held, Location where)
    : Error(Errc::would_deadlock, deadlock_text(pool, situation, held, where), where),
      situation_(situation) {}
WouldDeadlock::~WouldDeadlock() = default;

}  // namespace tidegate
