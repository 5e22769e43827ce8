// Calls of the library that a shutdown makes, in one place. A library that does not have one of
// them yet is served with what it has.
#pragma once

#include <tidegate/tidegate.hpp>

#include <chrono>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

namespace service {

template <class Pool>
void announce(Pool& pool, std::string_view reason,
              tidegate::Location where = tidegate::Location::current()) {
  if constexpr (requires { pool.announce_shutdown(reason, where); }) {
    pool.announce_shutdown(reason, where);
  }
}

// A token: `user` uses the pool for as long as it lives.
template <class Pool>
auto attach(Pool& pool, std::string_view user,
            tidegate::Location where = tidegate::Location::current()) {
  if constexpr (requires { pool.attach(user, where); }) {
    return pool.attach(user, where);
  } else {
    return std::string(user);
  }
}
using Attached = decltype(attach(std::declval<tidegate::Pool&>(), ""));

template <class Options = tidegate::CloseOptions>
Options close_options(std::string reason, std::stop_token hurry = {}) {
  Options options;
  options.reason = std::move(reason);
  if constexpr (requires { options.hurry; }) options.hurry = std::move(hurry);
  return options;
}

// The same, with phases as short as a demonstration wants them.
template <class Options = tidegate::CloseOptions>
Options short_phases(std::string reason, std::stop_token hurry = {}) {
  using namespace std::chrono_literals;
  Options options = close_options<Options>(std::move(reason), std::move(hurry));
  options.drain = 500ms;
  if constexpr (requires { options.cancel; }) options.cancel = 1000ms;
  if constexpr (requires { options.force; }) options.force = 500ms;
  return options;
}

}  // namespace service
