#include "pq/connect/listener_check.hpp"

#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string_view>

#include <tidegate/pq/file_descriptor.hpp>

#include "pq/connect/effective_options.hpp"
#include "pq/unix_address.hpp"

namespace tidegate::pq {
namespace {

// Empty: the listener cannot be known.
std::string listener_at(const std::string& address) {
  sockaddr_storage name{};
  if (address.empty() || address.size() > sizeof name) return {};
  std::memcpy(&name, address.data(), address.size());
  const FileDescriptor dialled(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!dialled || ::connect(dialled.get(), reinterpret_cast<const sockaddr*>(&name),
                            static_cast<socklen_t>(address.size())) != 0) {
    return {};
  }
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(dialled.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return {};
  passwd user{};
  passwd* found = nullptr;
  std::array<char, 4096> text{};
  ::getpwuid_r(peer.uid, &user, text.data(), text.size(), &found);
  return found == nullptr ? std::string() : std::string(user.pw_name);
}

}  // namespace

bool wrong_user_listens(const ConnectParams& params, const std::string& directory,
                        const std::string& port) {
  if (!directory.starts_with('/') && !directory.starts_with('@')) return false;
  const EffectiveOptions options(params);
  const std::string_view required = options["requirepeer"];
  if (required.empty()) return false;
  const std::string listener = listener_at(unix_address(directory, port));
  return !listener.empty() && listener != required;
}

}  // namespace tidegate::pq
