// Sockets of the fault proxy: TCP on IPv4, and Unix sockets with and without a file.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include <tidegate/base/file_descriptor.hpp>

namespace tidegate::stress {

using detail::FileDescriptor;

// `result`, or std::system_error with `what` and errno when it is negative. All below throw so.
int checked(int result, const char* what);

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  int family() const { return storage.ss_family; }

  static Address tcp(const std::string& host, std::uint16_t port);
  // `path` that begins with '@': no file, just a name.
  static Address unix_socket(const std::string& path);
};

// Where PostgreSQL has its socket.
std::string socket_path(const std::string& folder, const std::string& port);

// Non-blocking, all of them.
FileDescriptor new_socket(int family);
// Bound to `address`, beside another one that holds the same port.
FileDescriptor bound(Address address);
FileDescriptor listening(Address address);
std::uint16_t port_of(int fd);

bool has_hung_up(int fd);
// The peer gets a reset (RST) instead of an end.
void end_by_reset(FileDescriptor& fd);

}  // namespace tidegate::stress
