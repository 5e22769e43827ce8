// The one place that waits for a descriptor.
#pragma once

#include <tidegate/base/deadline.hpp>

namespace tidegate::detail {

enum class Waited { ready, woken, timed_out };

// Waits until `fd` has one of `events` (or an error), `wake_fd` is readable (-1: there is none), or
// the deadline has passed. Checks in the order woken, ready, timed out. One system call unless
// interrupted by a signal. On a fiber it does not block: the fiber stops here until whoever runs it
// says what has come, and the order of the checks is theirs.
// Promises: `seen` is what poll(2) reported of `fd`; POLLERR when poll itself failed.
Waited wait_for(int fd, short events, int wake_fd, Deadline deadline, short& seen) noexcept;

}  // namespace tidegate::detail
