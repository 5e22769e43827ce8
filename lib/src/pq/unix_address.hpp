// Where a server's Unix socket is.
#pragma once

#include <string>
#include <string_view>

namespace tidegate::pq {

// The sockaddr that libpq dials for a host that is a directory, or a name that begins with '@', and
// a port; empty when it is too long for one. Throws: std::bad_alloc.
std::string unix_address(std::string_view directory, std::string_view port);

}  // namespace tidegate::pq
