// cpp-httplib parses, routes and formats; the life of a connection is ours. Its own Server::stop()
// drops connections that were accepted and not yet looked at, and cuts keep-alive connections
// between two requests without a word, so that a client's next request is lost.
#include "http_server.hpp"

#include <httplib.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include "event.hpp"
#include "socket_stream.hpp"

namespace service {
namespace {

using namespace std::chrono_literals;

// So that connections beyond the number of threads get their turn, too.
constexpr unsigned kRequestsPerConnection = 200;
constexpr std::chrono::seconds kKeepAlive = 5s;
constexpr std::chrono::seconds kPatience = 5s;
// How long a connection may be silent while the server ends. A client that has not heard yet that
// the connection closes is about to send the next request, and would lose it.
constexpr std::chrono::milliseconds kLastChance = 500ms;
constexpr int kBacklog = 4096;

class Server final : public httplib::Server {
 public:
  explicit Server(const HttpServer::Calls& calls) {
    set_tcp_nodelay(true);
    set_keep_alive_timeout(kKeepAlive.count());
    set_keep_alive_max_count(kRequestsPerConnection);
    set_pre_routing_handler([admit = calls.admit](const auto& request, auto&) {
      admit(request.get_header_value("X-Request-Id"));
      return HandlerResponse::Unhandled;
    });
    set_post_routing_handler([this](const auto&, auto& response) {
      last_reply_ = closing;
      if (!last_reply_) return;
      response.headers.erase("Keep-Alive");
      response.headers.erase("Connection");
      response.set_header("Connection", "close");
    });
    const auto answer = [handle = calls.handle](const auto& request, auto& response) {
      const HttpReply reply = handle({request.method, request.path, request.params});
      response.status = reply.status;
      if (!reply.location.empty()) response.set_header("Location", reply.location);
      response.set_content(reply.body, "application/json");
    };
    Get(".*", answer);
    Post(".*", answer);
  }

  int bind() {
    const int port = bind_to_any_port("127.0.0.1");
    // cpp-httplib asks for a backlog of 5, and a full backlog delays a connect by a second.
    if (port > 0) ::listen(svr_sock_, kBacklog);
    return port;
  }

  std::atomic<bool> closing{false};  // each reply is the last one on its connection
  Event idle_end{};                  // connections without a request end

 private:
  bool process_and_close_socket(socket_t socket) override {
    ::pthread_setname_np(::pthread_self(), "http-worker");
    SocketStream stream(socket, kPatience);
    bool good = false;
    for (unsigned served = 1; await_request(stream); ++served) {
      const bool last = served == kRequestsPerConnection;
      bool closed = false;
      good = process_request(stream, last, closed, nullptr);
      if (!good || closed || last || last_reply_) break;
    }
    ::shutdown(socket, SHUT_RDWR);
    ::close(socket);
    return good;
  }

  bool await_request(const SocketStream& stream) const {
    if (stream.buffered()) return true;
    pollfd either[] = {{stream.socket(), POLLIN, 0}, {idle_end.fd(), POLLIN, 0}};
    ::poll(either, 2, static_cast<int>(std::chrono::milliseconds(kKeepAlive).count()));
    return either[0].revents != 0;  // a request that has come is served, whatever else is so
  }

  // What the reply to the request that this thread serves has said of its connection.
  static thread_local bool last_reply_;
};

thread_local bool Server::last_reply_ = false;

}  // namespace

class HttpServer::Impl {
 public:
  Impl(unsigned threads, const Calls& calls) : server_(calls), port_(server_.bind()) {
    if (port_ <= 0) throw std::runtime_error("the HTTP server finds no free port on 127.0.0.1");
    server_.new_task_queue = [this, threads] {
      listening_.set_value();
      return new httplib::ThreadPool(threads);
    };
    listener_ = std::thread([this] {
      server_.listen_after_bind();  // ends when all that was accepted is served
      std::lock_guard lock(mutex_);
      ended_ = true;
      changed_.notify_all();
    });
    listening_.get_future().wait();  // before that Server::stop() would do nothing
    accepting_ = true;
  }
  ~Impl() {
    close_after_replies();
    stop_accepting();
    server_.idle_end.set();
    listener_.join();
  }

  int port() const noexcept { return port_; }
  bool accepting() const noexcept { return accepting_; }
  void close_after_replies() noexcept { server_.closing = true; }
  void stop_accepting() {
    server_.closing = true;
    if (accepting_.exchange(false)) server_.stop();
  }
  bool await_idle(tidegate::Deadline deadline, const std::stop_token& stop) {
    if (await_end(earlier(deadline, kLastChance), stop)) return true;
    server_.idle_end.set();
    return await_end(deadline, stop);
  }

 private:
  bool await_end(tidegate::Deadline deadline, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, stop, deadline.at(), [this] { return ended_; });
  }

  Server server_;
  const int port_;
  std::promise<void> listening_{};
  std::atomic<bool> accepting_{false};
  std::mutex mutex_{};
  std::condition_variable_any changed_{};
  bool ended_ = false;  // mutex_
  std::thread listener_{};
};

HttpServer::HttpServer(unsigned threads, Calls calls)
    : impl_(std::make_unique<Impl>(threads, calls)) {}
HttpServer::~HttpServer() = default;

int HttpServer::port() const noexcept { return impl_->port(); }
bool HttpServer::accepting() const noexcept { return impl_->accepting(); }
void HttpServer::close_after_replies() noexcept { impl_->close_after_replies(); }
void HttpServer::stop_accepting() { impl_->stop_accepting(); }
bool HttpServer::await_idle(tidegate::Deadline deadline, const std::stop_token& stop) {
  return impl_->await_idle(deadline, stop);
}

}  // namespace service
