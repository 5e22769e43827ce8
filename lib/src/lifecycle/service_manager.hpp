// Tells systemd that the service stops: sd_notify(3)'s protocol, as one datagram.
#pragma once

#include <chrono>

namespace tidegate::detail {

class ServiceManager {
 public:
  // Takes the target from NOTIFY_SOCKET; has no target when it is unset.
  ServiceManager();

  bool listens() const noexcept { return length_ > 0; }
  // "We are stopping, and need at most this much longer." Never blocks; a message that cannot be
  // sent is lost.
  void stopping(std::chrono::microseconds longer) const noexcept;

 private:
  char path_[108] = {};  // sun_path; an abstract name begins with NUL
  unsigned length_ = 0;
};

}  // namespace tidegate::detail
