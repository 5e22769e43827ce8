// StopBell: makes a stop_token visible to poll(2).
#pragma once

#include <sys/eventfd.h>

#include <optional>
#include <stop_token>

namespace tidegate::pq {

struct RingBell {
  int eventfd;
  void operator()() const noexcept { ::eventfd_write(eventfd, 1); }
};
// While it holds a value, the eventfd becomes readable when the token is triggered.
using StopBell = std::optional<std::stop_callback<RingBell>>;

// What makes the statement under way end early, beside its deadline. Both ring the bell. Made for
// the first statement that has one of them, or that is large and has a deadline.
struct Stops {
  StopBell statement{};
  StopBell standing{};
  int sending = -1;  // a duplicate of the socket while another thread sends (large_send.cpp)
  bool any() const noexcept { return statement || standing; }
};
}  // namespace tidegate::pq
