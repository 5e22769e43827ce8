// Takes descriptors away from their user: in a child after fork(), whose parent uses them, and from
// a session that is given up.
#pragma once

namespace tidegate::pq {

// The number `fd` now means a socket without another end: writes to it fail, also those of libpq,
// and shutting it down affects nobody. The parent's descriptor and any duplicate stay as they are.
// Returns false and does nothing if the system has no descriptor to give, or `fd` is negative.
bool cut_off_socket(int fd) noexcept;
// The same for an eventfd: its number now means one that nobody waits for.
void cut_off_eventfd(int fd) noexcept;

}  // namespace tidegate::pq
