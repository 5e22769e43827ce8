// Accepting, and the end, are ours: what a kernel or a queue here has accepted is served before the
// server is gone, and a kept-alive connection is never cut between two requests without a word.
#include "threaded_server.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "event.hpp"
#include "http_connection.hpp"

namespace service {
namespace {

using namespace std::chrono_literals;

// How long a connection may be silent while the server ends. A client that has not heard yet that
// the connection closes is about to send the next request, and would lose it.
constexpr std::chrono::milliseconds kLastChance = 500ms;
constexpr int kBacklog = 4096;  // a full one delays a connect by a second

[[noreturn]] void throw_errno(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// A socket that listens on a free port of 127.0.0.1, non-blocking.
class Listener {
 public:
  Listener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    if (socket_ < 0) throw_errno("HTTP server: socket");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    if (::bind(socket_, any, size) != 0 || ::listen(socket_, kBacklog) != 0 ||
        ::getsockname(socket_, any, &size) != 0) {
      const int error = errno;
      ::close(socket_);
      errno = error;
      throw_errno("HTTP server: no port of 127.0.0.1");
    }
    port_ = ntohs(address.sin_port);
  }
  ~Listener() { close(); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  int port() const noexcept { return port_; }
  int fd() const noexcept { return socket_; }
  // The next connection that the kernel has accepted; none when there is none.
  std::optional<int> next() noexcept {
    const int accepted = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
    return accepted >= 0 ? std::optional(accepted) : std::nullopt;
  }
  void close() noexcept {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }

 private:
  int socket_;
  int port_ = 0;
};

class ThreadedServer final : public HttpServer {
 public:
  ThreadedServer(unsigned threads, HttpCalls calls)
      : calls_(std::move(calls)), port_(listener_.port()), running_(threads) {
    try {
      for (unsigned i = 0; i < threads; ++i) workers_.emplace_back([this] { work(); });
      acceptor_ = std::thread([this] { accept(); });
    } catch (...) {
      end_accepting();
      for (std::thread& worker : workers_) worker.join();
      throw;
    }
  }
  ~ThreadedServer() override {
    close_after_replies();
    stop_accepting();
    end_.idle.set();
    for (std::thread& worker : workers_) worker.join();
  }

  int port() const noexcept override { return port_; }
  bool accepting() const noexcept override { return accepting_; }
  void close_after_replies() noexcept override { end_.closing = true; }
  void stop_accepting() override {
    end_.closing = true;
    if (!accepting_.exchange(false)) return;
    stop_.set();
    acceptor_.join();
  }
  bool await_idle(tidegate::Deadline deadline, const std::stop_token& stop) override {
    if (await_end(earlier(deadline, kLastChance), stop)) return true;
    end_.idle.set();
    return await_end(deadline, stop);
  }

 private:
  void accept() {
    ::pthread_setname_np(::pthread_self(), "http-accept");
    pollfd either[] = {{listener_.fd(), POLLIN, 0}, {stop_.fd(), POLLIN, 0}};
    while (either[1].revents == 0) {
      while (const auto socket = listener_.next()) hand_on(*socket);
      ::poll(either, 2, -1);
    }
    // Those that the kernel has accepted meanwhile believe that they are served.
    while (const auto socket = listener_.next()) hand_on(*socket);
    listener_.close();
    end_accepting();
  }
  void hand_on(int socket) {
    const std::lock_guard lock(mutex_);
    accepted_.push_back(socket);
    changed_.notify_all();
  }
  void end_accepting() {
    const std::lock_guard lock(mutex_);
    all_accepted_ = true;
    changed_.notify_all();
  }
  void work() {
    ::pthread_setname_np(::pthread_self(), "http-worker");
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return !accepted_.empty() || all_accepted_; });
      if (accepted_.empty()) break;
      const int socket = accepted_.front();
      accepted_.pop_front();
      lock.unlock();
      serve_connection(socket, calls_, end_);
      lock.lock();
    }
    --running_;
    changed_.notify_all();
  }
  bool await_end(tidegate::Deadline deadline, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, stop, deadline.at(), [this] { return running_ == 0; });
  }

  const HttpCalls calls_;
  Listener listener_{};
  const int port_;
  HttpEnd end_{};
  Event stop_{};
  std::atomic<bool> accepting_{true};
  std::mutex mutex_{};
  std::condition_variable_any changed_{};
  std::deque<int> accepted_{};  // mutex_; sockets that no thread serves yet
  bool all_accepted_ = false;   // mutex_
  unsigned running_;            // mutex_; workers
  std::vector<std::thread> workers_{};
  std::thread acceptor_{};
};

}  // namespace

std::unique_ptr<HttpServer> make_threaded_server(unsigned threads, HttpCalls calls) {
  return std::make_unique<ThreadedServer>(threads, std::move(calls));
}

}  // namespace service
