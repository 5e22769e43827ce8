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
// While this holds a value, the eventfd becomes readable when the token is triggered.
using StopBell = std::optional<std::stop_callback<RingBell>>;

}  // namespace tidegate::pq
