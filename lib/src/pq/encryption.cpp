#include "pq/encryption.hpp"

#include <dlfcn.h>
#include <libpq-fe.h>

namespace tidegate::pq {
namespace {

// OpenSSL's own count, from the library that libpq has loaded. tidegate is not linked against it,
// because a libpq may be built without it.
using Pending = int (*)(const void* ssl);
Pending find_pending() noexcept {
  return reinterpret_cast<Pending>(::dlsym(RTLD_DEFAULT, "SSL_pending"));
}

}  // namespace

HeldBack held_back(pg_conn* connection) noexcept {
  if (PQsslInUse(connection) != 0) {
    static const Pending pending = find_pending();
    const void* ssl = PQsslStruct(connection, "OpenSSL");
    if (pending == nullptr || ssl == nullptr) return HeldBack::unknown;
    return pending(ssl) > 0 ? HeldBack::something : HeldBack::nothing;
  }
  return PQgssEncInUse(connection) != 0 ? HeldBack::unknown : HeldBack::nothing;
}

}  // namespace tidegate::pq
