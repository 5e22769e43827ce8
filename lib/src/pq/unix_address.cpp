#include "pq/unix_address.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

namespace tidegate::pq {

// The server itself may have bound another name, relative to its working directory.
std::string unix_address(std::string_view directory, std::string_view port) {
  std::string path(directory);
  path.append("/.s.PGSQL.").append(port);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return {};
  std::memcpy(address.sun_path, path.data(), path.size());
  const bool is_abstract = path.front() == '@';  // no file: only its length ends such a name
  if (is_abstract) address.sun_path[0] = '\0';
  const std::size_t size = offsetof(sockaddr_un, sun_path) + path.size() + (is_abstract ? 0U : 1U);
  return {reinterpret_cast<const char*>(&address), size};
}

}  // namespace tidegate::pq
