// Interrupt: a signal that waits to be taken, as a stop_token.
#pragma once

#include <poll.h>

#include <stop_token>
#include <thread>

#include <tidegate/lifecycle/signal_waiter.hpp>

#include "event.hpp"

namespace service {

// Stops what goes on before the shutdown plan runs. It looks and does not take: the signal is still
// there for the plan. Its own end takes what nobody else did, or the process would die of it then.
class Interrupt {
 public:
  explicit Interrupt(tidegate::SignalWaiter& signals)
      : signals_(signals), watcher_([this, fd = signals.fd()] {
          pollfd either[] = {{fd, POLLIN, 0}, {end_.fd(), POLLIN, 0}};
          while (::poll(either, 2, -1) < 0) continue;  // interrupted: again
          if (either[0].revents != 0) stop_.request_stop();
        }) {}
  ~Interrupt() {
    end_.set();
    while (signals_.wait(tidegate::Deadline::now())) continue;
  }
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  std::stop_token token() const { return stop_.get_token(); }

 private:
  tidegate::SignalWaiter& signals_;
  std::stop_source stop_{};
  Event end_{};
  std::jthread watcher_;
};

}  // namespace service
