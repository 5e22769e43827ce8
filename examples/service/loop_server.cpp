// Boost.Asio and Boost.Beast carry; the end is ours, as in the server of threads: what the kernel
// has accepted is served, and a kept-alive connection is not cut between two requests without a
// word.
#include "loop_server.hpp"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <list>
#include <mutex>
#include <thread>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "http_message.hpp"

namespace service {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::awaitable;
using asio::ip::tcp;
using boost::system::error_code;
using namespace std::chrono_literals;

constexpr auto kRequestPatience =
    5s;  // for the rest of a request that has begun, and for its reply
// How long a connection may be silent while the server ends. A client that has not heard yet that
// the connection closes is about to send the next request, and would lose it.
constexpr std::chrono::milliseconds kLastChance = 500ms;
constexpr int kBacklog = 4096;  // a full one delays a connect by a second

// What an operation is completed with: its error, as a value.
auto into(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

// Members are the loop's thread's alone, but for what is atomic or guarded.
class LoopServer final : public HttpServer {
 public:
  explicit LoopServer(LoopCalls calls) : calls_(std::move(calls)) {
    const tcp::endpoint any(asio::ip::address_v4::loopback(), 0);
    acceptor_.open(any.protocol());
    acceptor_.bind(any);
    acceptor_.listen(kBacklog);
    acceptor_.non_blocking(true);
    port_ = acceptor_.local_endpoint().port();
    asio::co_spawn(loop_, accept(), asio::detached);
    thread_ = std::thread([this] {
      ::pthread_setname_np(::pthread_self(), "http-loop");
      loop_.run();
    });
  }
  ~LoopServer() override {
    close_after_replies();
    stop_accepting();
    await_idle(tidegate::Deadline::never());
    work_.reset();
    thread_.join();
  }

  int port() const noexcept override { return port_; }
  bool accepting() const noexcept override { return accepting_; }
  void close_after_replies() noexcept override { closing_ = true; }
  void stop_accepting() override {
    closing_ = true;
    if (!accepting_) return;
    std::promise<void> stopped;
    asio::post(loop_, [&] {
      // Those that the kernel has accepted meanwhile believe that they are served.
      error_code error;
      for (;;) {
        tcp::socket socket = acceptor_.accept(error);
        if (error) break;
        serve_on(std::move(socket));
      }
      acceptor_.close(error);
      accepting_ = false;
      stopped.set_value();
    });
    stopped.get_future().wait();
  }
  bool await_idle(tidegate::Deadline deadline, const std::stop_token& stop = {}) override {
    if (await_end(earlier(deadline, kLastChance), stop)) return true;
    asio::post(loop_, [this] {
      silence_ends_ = true;
      for (tcp::socket* const socket : silent_) socket->cancel();
    });
    return await_end(deadline, stop);
  }

 private:
  bool await_end(tidegate::Deadline deadline, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    const auto none = [this] { return connections_ == 0; };
    if (deadline.is_never()) return changed_.wait(lock, stop, none);
    return changed_.wait_until(lock, stop, deadline.at(), none);
  }

  awaitable<void> accept() {
    while (acceptor_.is_open()) {
      error_code error;
      tcp::socket socket = co_await acceptor_.async_accept(into(error));
      if (!error) {
        serve_on(std::move(socket));
      } else if (acceptor_.is_open()) {  // too many descriptors, say: that passes
        asio::steady_timer pause(loop_, 10ms);
        co_await pause.async_wait(into(error));
      }
    }
  }
  void serve_on(tcp::socket socket) {
    {
      const std::lock_guard lock(mutex_);
      ++connections_;
    }
    asio::co_spawn(loop_, serve(std::move(socket)), [this](const std::exception_ptr&) {
      const std::lock_guard lock(mutex_);
      --connections_;
      changed_.notify_all();
    });
  }
  awaitable<void> serve(tcp::socket socket) {
    error_code error;
    socket.set_option(tcp::no_delay(true), error);
    beast::tcp_stream stream(std::move(socket));
    beast::flat_buffer buffer;  // what was read beyond a request is kept for the next
    while (co_await await_request(stream.socket(), buffer)) {
      if (!co_await answer(stream, buffer)) break;
    }
    stream.socket().shutdown(tcp::socket::shutdown_both, error);
  }

  // A request that has come, or begun to, is served, whatever else is so.
  awaitable<bool> await_request(tcp::socket& socket, const beast::flat_buffer& buffer) {
    error_code error;
    if (buffer.size() > 0) co_return true;
    if (!silence_ends_) {
      const auto place = silent_.insert(silent_.end(), &socket);
      co_await socket.async_wait(tcp::socket::wait_read, into(error));
      silent_.erase(place);
      if (!error) co_return true;
    }
    co_return socket.available(error) > 0;
  }

  // False: that was the last one.
  awaitable<bool> answer(beast::tcp_stream& stream, beast::flat_buffer& buffer) {
    HttpParser parser;
    parser.body_limit(kLongestBody);
    error_code error;
    stream.expires_after(kRequestPatience);
    co_await http::async_read_header(stream, buffer, parser, into(error));
    if (!error) calls_.admit(request_id(parser));
    if (!error && expects_continue(parser)) {
      http::response<http::empty_body> go_on(http::status::continue_, 11);
      co_await http::async_write(stream, go_on, into(error));
    }
    if (!error) co_await http::async_read(stream, buffer, parser, into(error));
    if (error) {
      auto refused = refusal_of(error);
      if (refused) co_await send(stream, *refused, false);
      co_return false;
    }
    const HttpParser::value_type& read = parser.get();
    const HttpRequest request = request_of(read);
    HttpReply made = co_await calls_.handle(request);
    // Looked at when the answer is known: whoever is told that the connection stays may use it.
    const bool keep = read.keep_alive() && !closing_;
    HttpMessage reply = reply_of(std::move(made), read.version(), keep);
    const bool sent = co_await send(stream, reply, read.method() == http::verb::head);
    co_return sent&& keep;
  }

  static awaitable<bool> send(beast::tcp_stream& stream, const HttpMessage& reply, bool only_head) {
    error_code error;
    http::response_serializer<http::string_body> serializer(reply);
    stream.expires_after(kRequestPatience);
    if (only_head) {
      co_await http::async_write_header(stream, serializer, into(error));
    } else {
      co_await http::async_write(stream, serializer, into(error));
    }
    co_return !error;
  }

  const LoopCalls calls_;
  asio::io_context loop_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{loop_.get_executor()};
  tcp::acceptor acceptor_{loop_};
  int port_ = 0;
  std::list<tcp::socket*> silent_{};  // nobody asks for anything there
  bool silence_ends_ = false;
  std::atomic<bool> closing_{false};  // each reply is the last one on its connection
  std::atomic<bool> accepting_{true};
  std::mutex mutex_{};
  std::condition_variable_any changed_{};
  unsigned connections_ = 0;  // mutex_
  std::thread thread_{};
};

}  // namespace

std::unique_ptr<HttpServer> make_loop_server(LoopCalls calls) {
  return std::make_unique<LoopServer>(std::move(calls));
}

}  // namespace service
