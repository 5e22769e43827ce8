// Who listens behind a Unix socket, for a libpq that has refused it.
#pragma once

#include <string>

#include "pq/connect/attempt.hpp"

namespace tidegate::pq {

// Whether a connect failed because another user listens at the Unix socket than `requirepeer` asks
// for. From 17 on libpq reports that as it reports a socket at which nobody listens.
// Needs: `directory` and `port` are where it dialled. Promises: no wait; false where it cannot be
// known. Throws: std::bad_alloc.
bool wrong_user_listens(const ConnectParams& params, const std::string& directory,
                        const std::string& port);

}  // namespace tidegate::pq
