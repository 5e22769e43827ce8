#include "lifecycle/service_manager.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <tidegate/base/file_descriptor.hpp>

namespace tidegate::detail {

static_assert(sizeof(sockaddr_un{}.sun_path) == 108);

ServiceManager::ServiceManager() {
  const char* name = std::getenv("NOTIFY_SOCKET");
  if (name == nullptr || (name[0] != '/' && name[0] != '@')) return;
  const std::size_t length = std::strlen(name);
  if (length >= sizeof path_) return;
  std::memcpy(path_, name, length);
  if (path_[0] == '@') path_[0] = '\0';
  length_ = static_cast<unsigned>(length);
}

void ServiceManager::stopping(std::chrono::microseconds longer) const noexcept {
  if (!listens()) return;
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_, length_);
  char text[96];
  const int size = std::snprintf(text, sizeof text, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld\n",
                                 static_cast<long long>(longer.count()));
  ::sendto(socket.get(), text, static_cast<std::size_t>(size), MSG_NOSIGNAL,
           reinterpret_cast<const sockaddr*>(&address),
           static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length_));
}

}  // namespace tidegate::detail
