// Descriptors in a child after fork(), which its parent uses.
#pragma once

namespace tidegate::pq {

// The number now means a socket without another end: what is written to it, also by libpq, fails,
// and shutting it down concerns nobody. The parent's stays as it is. For ForkHooks; does nothing
// when the system has no descriptor to give, or for a negative number.
void cut_off_socket(int fd) noexcept;
// The same for an eventfd: it now means one that nobody waits for.
void cut_off_eventfd(int fd) noexcept;

}  // namespace tidegate::pq
