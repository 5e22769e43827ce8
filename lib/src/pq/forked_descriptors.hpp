// Descriptors that are taken from their user: in a child after fork(), whose parent uses them, and
// of a session that is given up.
#pragma once

namespace tidegate::pq {

// The number now means a socket without another end: what is written to it, also by libpq, fails,
// and shutting it down concerns nobody. The parent's, and any
// duplicate, stays as it is. False, and nothing done: the system has no descriptor to give, or `fd`
// is negative.
bool cut_off_socket(int fd) noexcept;
// The same for an eventfd: it now means one that nobody waits for.
void cut_off_eventfd(int fd) noexcept;

}  // namespace tidegate::pq
