#include "pq/ping.hpp"

#include <poll.h>

#include "pq/stop_signal.hpp"
#include "pq/wait.hpp"

namespace tidegate::pq {

PingResult ping(Connection& connection, const std::stop_token& stop, Deadline deadline) noexcept {
  // Without a descriptor for the signal the stop is noticed late, at the deadline.
  const StopSignal signal(stop);
  for (;;) {
    const PingResult result = connection.ping_step(Deadline::now());
    if (result != PingResult::pending) return result;
    short seen = 0;
    if (wait_for(connection.socket(), POLLIN, signal.fd(), deadline, seen) != Waited::ready) {
      return PingResult::pending;
    }
  }
}

}  // namespace tidegate::pq
