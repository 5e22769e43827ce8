#include <tidegate/base/error.hpp>

#include <exception>

#include "base/printable.hpp"

namespace tidegate {

std::string_view to_string(Errc code) noexcept {
  switch (code) {
    case Errc::closed: return "closed";
    case Errc::timeout: return "timeout";
    case Errc::canceled: return "canceled";
    case Errc::overloaded: return "overloaded";
    case Errc::unavailable: return "unavailable";
    case Errc::rejected: return "rejected";
    case Errc::hook: return "hook";
    case Errc::would_deadlock: return "would_deadlock";
    case Errc::forked: return "forked";
    case Errc::config: return "config";
    case Errc::query: return "query";
    case Errc::connection_lost: return "connection_lost";
    case Errc::usage: return "usage";
  }
  return "unknown";
}

const char* detail::what_is_handled() noexcept {
  try {
    throw;
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

// Code that builds a text keeps foreign newlines out of its layout; this escapes everything else.
Error::Error(Errc code, const std::string& text, Location where)
    : std::runtime_error(detail::printable(text, detail::Lines::kept, detail::kShownWhole)),
      code_(code),
      where_(where) {}

// Out of line, so that each class has one home for its type information: a shared library and its
// user then agree on what they catch.
Error::~Error() = default;
UsageError::~UsageError() = default;
Forked::~Forked() = default;

}  // namespace tidegate
