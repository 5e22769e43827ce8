// SignalWaiter: signals as something to wait for. Nothing runs in signal context.
#pragma once

#include <csignal>
#include <initializer_list>
#include <optional>
#include <stop_token>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/base/file_descriptor.hpp>
#include <tidegate/base/location.hpp>

namespace tidegate {

// Blocks the signals in the calling thread, for as long as it lives. Threads that are started later
// inherit that: so it belongs into the first line of main().
class TIDEGATE_API SignalWaiter {
 public:
  // Throws: UsageError when a thread exists that does not block them (named: the signal would be
  // delivered there), when another SignalWaiter has one of them, when one cannot be blocked or is
  // none; std::system_error when there is no descriptor to be had.
  explicit SignalWaiter(std::initializer_list<int> signals, Location where = Location::current());
  // On the thread that made it: from here on they are delivered as before. Those that came and were
  // not waited for are dropped.
  ~SignalWaiter();
  SignalWaiter(const SignalWaiter&) = delete;
  SignalWaiter& operator=(const SignalWaiter&) = delete;

  // The next signal; nothing when the deadline or the stop came first. Each is given out once.
  std::optional<int> wait(Deadline deadline = {}, std::stop_token stop = {});
  // Readable when wait() would not wait: for a poll loop.
  int fd() const noexcept { return signals_.get(); }

 private:
  sigset_t set_;
  sigset_t before_;
  detail::FileDescriptor signals_{};
};

}  // namespace tidegate
