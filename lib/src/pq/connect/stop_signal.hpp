// StopSignal: a stop_token that poll(2) can wait for.
#pragma once

#include <sys/eventfd.h>

#include <cerrno>
#include <stop_token>

#include <tidegate/pq/file_descriptor.hpp>

#include "pq/stop_bell.hpp"

namespace tidegate::pq {

// An eventfd that becomes readable when the token is triggered.
class StopSignal {
 public:
  explicit StopSignal(const std::stop_token& stop) {
    if (!stop.stop_possible()) return;
    event_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (event_) {
      callback_.emplace(stop, RingBell{event_.get()});
    } else {
      error_ = errno;
    }
  }
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  int fd() const noexcept { return event_.get(); }
  int error() const noexcept { return error_; }

 private:
  FileDescriptor event_{};
  int error_ = 0;
  // Last, so that it is gone before the descriptor is.
  StopBell callback_{};
};

}  // namespace tidegate::pq
