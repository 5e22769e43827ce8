// SocketStream: a connected socket as what Boost.Beast reads requests from and writes replies to.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/system_error.hpp>

namespace service {

// Asio's SyncReadStream and SyncWriteStream, with a bound that Asio's own sockets lack.
class SocketStream {
 public:
  // Gives up on a peer that is silent in the middle of a request for `patience`.
  SocketStream(int socket, std::chrono::milliseconds patience)
      : socket_(socket), patience_(patience) {}

  template <class Buffers>
  std::size_t read_some(const Buffers& buffers, boost::system::error_code& error) {
    return transfer(buffers, POLLIN, error,
                    [this](msghdr& message) { return ::recvmsg(socket_, &message, 0); });
  }
  template <class Buffers>
  std::size_t write_some(const Buffers& buffers, boost::system::error_code& error) {
    return transfer(buffers, POLLOUT, error,
                    [this](msghdr& message) { return ::sendmsg(socket_, &message, MSG_NOSIGNAL); });
  }
  // The throwing forms belong to the concepts.
  template <class Buffers>
  std::size_t read_some(const Buffers& buffers) {
    boost::system::error_code error;
    const std::size_t count = read_some(buffers, error);
    if (error) throw boost::system::system_error(error);
    return count;
  }
  template <class Buffers>
  std::size_t write_some(const Buffers& buffers) {
    boost::system::error_code error;
    const std::size_t count = write_some(buffers, error);
    if (error) throw boost::system::system_error(error);
    return count;
  }

 private:
  // With as many buffers as fit into one call: a request's head is a dozen small ones.
  template <class Buffers, class Transfer>
  std::size_t transfer(const Buffers& buffers, short events, boost::system::error_code& error,
                       Transfer&& once) {
    error = {};
    std::array<iovec, 32> pieces;
    msghdr message{};
    message.msg_iov = pieces.data();
    const auto end = boost::asio::buffer_sequence_end(buffers);
    for (auto at = boost::asio::buffer_sequence_begin(buffers);
         at != end && message.msg_iovlen < pieces.size(); ++at) {
      const auto buffer = *at;
      if (buffer.size() == 0) continue;
      pieces[message.msg_iovlen++] = {const_cast<void*>(buffer.data()), buffer.size()};
    }
    if (message.msg_iovlen == 0) return 0;
    if (!ready(events)) {
      error = boost::asio::error::timed_out;
      return 0;
    }
    const ssize_t count = once(message);
    if (count < 0) error.assign(errno, boost::system::system_category());
    if (count == 0 && events == POLLIN) error = boost::asio::error::eof;
    return count > 0 ? static_cast<std::size_t>(count) : 0;
  }

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
};

}  // namespace service
