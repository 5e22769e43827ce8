// Signals: SIGTERM and Ctrl-C as a stop_token.
#pragma once

#include <csignal>
#include <ctime>

#include <stop_token>
#include <thread>

namespace demo {

// Make it first in main, before any other thread: they inherit the blocked signals.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGINT);
    sigaddset(&set_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    waiter_ = std::jthread([this](const std::stop_token& end) {
      const timespec slice{0, 20'000'000};
      while (!end.stop_requested()) {
        if (sigtimedwait(&set_, nullptr, &slice) > 0) stop_.request_stop();
      }
    });
  }

  std::stop_token stop() const { return stop_.get_token(); }

 private:
  sigset_t set_{};
  std::stop_source stop_;
  std::jthread waiter_;
};

}  // namespace demo
