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

// Blocks the signals in the calling thread for as long as the object lives. Threads that start
// later inherit the blocked signals, so the object belongs in the first line of main().
class TIDEGATE_API SignalWaiter {
 public:
  // Throws: UsageError when another thread does not block the signals (the error names it: the
  // signal would be delivered there), when another SignalWaiter has one of them, when one cannot be
  // blocked or is no signal; std::system_error when the system gives no descriptor.
  explicit SignalWaiter(std::initializer_list<int> signals, Location where = Location::current());
  // Call it on the thread that made the object. From here on the signals are delivered as before;
  // signals that came and were not waited for are dropped.
  ~SignalWaiter();
  SignalWaiter(const SignalWaiter&) = delete;
  SignalWaiter& operator=(const SignalWaiter&) = delete;

  // The next signal; nothing when the deadline or the stop came first. Each is returned once.
  std::optional<int> wait(Deadline deadline = {}, std::stop_token stop = {});
  // Readable when wait() would return at once; for a poll loop.
  int fd() const noexcept { return signals_.get(); }

 private:
  sigset_t set_;
  sigset_t before_;
  detail::FileDescriptor signals_{};
};

}  // namespace tidegate
