#include "support/sockets.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <system_error>

namespace tidegate::stress {
namespace {

constexpr int kBacklog = 512;

}  // namespace

int checked(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

Address Address::tcp(const std::string& host, std::uint16_t port) {
  Address address;
  auto* in = reinterpret_cast<sockaddr_in*>(&address.storage);
  in->sin_family = AF_INET;
  in->sin_port = htons(port);
  address.size = sizeof *in;
  if (::inet_pton(AF_INET, host.c_str(), &in->sin_addr) != 1) {
    throw std::system_error(EINVAL, std::generic_category(), "no IPv4 address: " + host);
  }
  return address;
}

Address Address::unix_socket(const std::string& path) {
  Address address;
  auto* un = reinterpret_cast<sockaddr_un*>(&address.storage);
  un->sun_family = AF_UNIX;
  address.size = sizeof *un;
  if (path.size() >= sizeof un->sun_path) {
    throw std::system_error(ENAMETOOLONG, std::generic_category(), path);
  }
  path.copy(un->sun_path, path.size());
  if (path.starts_with('@')) {  // no file, just a name; its length counts
    un->sun_path[0] = '\0';
    address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  }
  return address;
}

std::string socket_path(const std::string& folder, const std::string& port) {
  return folder + "/.s.PGSQL." + port;
}

FileDescriptor new_socket(int family) {
  return FileDescriptor(
      checked(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
}

FileDescriptor bound(Address address) {
  FileDescriptor fd = new_socket(address.family());
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  checked(::bind(fd.get(), address.get(), address.size), "bind");
  return fd;
}

FileDescriptor listening(Address address) {
  FileDescriptor fd = bound(address);
  checked(::listen(fd.get(), kBacklog), "listen");
  return fd;
}

std::uint16_t port_of(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  checked(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), "getsockname");
  return ntohs(address.sin_port);
}

bool has_hung_up(int fd) {
  pollfd look{.fd = fd, .events = POLLRDHUP, .revents = 0};
  return ::poll(&look, 1, 0) == 1;
}

void end_by_reset(FileDescriptor& fd) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  fd.reset();
}

}  // namespace tidegate::stress
