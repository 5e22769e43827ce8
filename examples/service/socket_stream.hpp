// SocketStream: a connected socket as what cpp-httplib reads requests from and writes replies to.
#pragma once

#include <httplib.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <string>

namespace service {

// One for the life of a connection, so that what was read beyond a request is kept for the next.
class SocketStream final : public httplib::Stream {
 public:
  // Gives up on a peer that is silent in the middle of a request for `patience`.
  SocketStream(int socket, std::chrono::milliseconds patience)
      : socket_(socket), patience_(patience) {}

  bool buffered() const noexcept { return begin_ != end_; }

  bool is_readable() const override { return buffered() || ready(POLLIN); }
  bool is_writable() const override { return ready(POLLOUT); }
  ssize_t read(char* to, std::size_t size) override {
    if (!buffered()) {
      if (!ready(POLLIN)) return -1;
      const ssize_t got = ::recv(socket_, buffer_.data(), buffer_.size(), 0);
      if (got <= 0) return got;
      begin_ = buffer_.begin();
      end_ = begin_ + got;
    }
    const auto count = std::min(static_cast<std::ptrdiff_t>(size), end_ - begin_);
    std::copy_n(begin_, count, to);
    begin_ += count;
    return count;
  }
  ssize_t write(const char* from, std::size_t size) override {
    return ready(POLLOUT) ? ::send(socket_, from, size, MSG_NOSIGNAL) : -1;
  }
  // Nobody asks who is at the ends.
  void get_remote_ip_and_port(std::string& ip, int& port) const override { ip.clear(), port = 0; }
  void get_local_ip_and_port(std::string& ip, int& port) const override { ip.clear(), port = 0; }
  socket_t socket() const override { return socket_; }

 private:
  using Buffer = std::array<char, 4096>;

  bool ready(short events) const {
    pollfd one{socket_, events, 0};
    int count = 0;
    do {
      count = ::poll(&one, 1, static_cast<int>(patience_.count()));
    } while (count < 0 && errno == EINTR);
    return count > 0;
  }

  // Fixed after construction.
  int socket_;
  std::chrono::milliseconds patience_;

  Buffer buffer_;  // what is in [begin_, end_) was read from the socket and not yet from here
  Buffer::iterator begin_ = buffer_.begin();
  Buffer::iterator end_ = buffer_.begin();
};

}  // namespace service
