// Who listens behind a Unix socket, for a libpq that has refused it.
#pragma once

#include <string>

struct pg_conn;  // libpq's PGconn

namespace tidegate::pq {

// Whether another user listens at the Unix socket than `requirepeer` of a connect that failed asks
// for. From 17 on libpq tells that as it tells a socket at which nobody listens.
// Needs: `directory` and `port` are where it dialled. Promises: no wait; false where it cannot be
// known. Throws: std::bad_alloc.
bool wrong_user_listens(pg_conn* connection, const std::string& directory, const std::string& port);

}  // namespace tidegate::pq
