// StopSignal: a stop_token that poll(2) can wait for.
#pragma once

#include <sys/eventfd.h>

#include <cerrno>
#include <optional>
#include <stop_token>

#include <tidegate/pq/file_descriptor.hpp>

namespace tidegate::pq {

// An eventfd that becomes readable when the token is triggered.
class StopSignal {
 public:
  explicit StopSignal(const std::stop_token& stop) {
    if (!stop.stop_possible()) return;
    event_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (event_) {
      callback_.emplace(stop, Ring{event_.get()});
    } else {
      error_ = errno;
    }
  }
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  int fd() const noexcept { return event_.get(); }
  int error() const noexcept { return error_; }

 private:
  struct Ring {
    int fd;
    void operator()() const noexcept { ::eventfd_write(fd, 1); }
  };

  FileDescriptor event_{};
  int error_ = 0;
  // Last, so that it is gone before the descriptor is.
  std::optional<std::stop_callback<Ring>> callback_{};
};

}  // namespace tidegate::pq
