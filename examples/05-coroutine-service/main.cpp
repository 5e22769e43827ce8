// An HTTP service of coroutines on one thread, which stops in order: SIGTERM fails no request.
//
//   curl localhost:8080/stock/1
//   curl -X POST localhost:8080/orders/1
//
// usage: coroutine-service [PORT]   8080; 0: any that is free. PGHOST, PGDATABASE, ... name the
// server
#include <tidegate/asio.hpp>
#include <tidegate/tidegate.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <list>
#include <string>
#include <string_view>

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace pg = tidegate::asio;
using asio::awaitable;
using asio::ip::tcp;
using namespace std::chrono_literals;
using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

class Service {
 public:
  explicit Service(unsigned short port)
      : pool_("pool_name=stock pool_max_conns=8 pool_acquire_timeout=2s"),
        acceptor_(loop_, {asio::ip::address_v4::loopback(), port}),
        signals_(loop_, SIGTERM, SIGINT) {
    pool_.exec_script(
        "create table if not exists stock (item int primary key, left_over int not null);"
        "create table if not exists orders (id bigserial primary key, item int not null);"
        "insert into stock select i, 1000000 from generate_series(1, 10) i on conflict do nothing");
    std::cout << "listening on port " << acceptor_.local_endpoint().port() << std::endl;
  }

  void run() {
    asio::co_spawn(loop_, accept(), asio::detached);
    asio::co_spawn(loop_, stop_on_signal(), asio::detached);
    loop_.run();
  }

 private:
  // ---- what it does ------------------------------------------------------------------------

  awaitable<std::string> answer(const Request& request) {
    const std::string_view path(request.target().data(), request.target().size());
    if (path.starts_with("/stock/")) {
      co_return std::to_string(co_await pg::query_value<int>(
          pool_, "select left_over from stock where item = $1", number(path.substr(7))));
    }
    if (request.method() == http::verb::post && path.starts_with("/orders/")) {
      const int item = number(path.substr(8));
      // Acquires, begins, commits, releases; an exception rolls back.
      co_return std::to_string(
          co_await pg::transact(pool_, [item](pg::Transaction& tx) -> awaitable<std::int64_t> {
            co_await tx.exec("update stock set left_over = left_over - 1 where item = $1", item);
            co_return co_await tx.query_value<std::int64_t>(
                "insert into orders (item) values ($1) returning id", item);
          }));
    }
    throw std::invalid_argument("no such path");
  }

  static int number(std::string_view text) { return std::atoi(std::string(text).c_str()); }

  awaitable<Response> respond(const Request& request) {
    Response response{http::status::ok, request.version()};
    try {
      response.body() = co_await answer(request);
    } catch (const std::invalid_argument& error) {
      response.result(http::status::not_found);
      response.body() = error.what();
    } catch (const tidegate::AcquireTimeout& error) {  // says who has the connections
      response.result(http::status::service_unavailable);
      response.body() = error.what();
    } catch (const std::exception& error) {
      response.result(http::status::internal_server_error);
      response.body() = error.what();
    }
    response.keep_alive(request.keep_alive() && !stopping_);
    response.prepare_payload();
    co_return response;
  }

  // ---- connections -------------------------------------------------------------------------

  awaitable<void> accept() {
    for (;;) {
      beast::error_code error;
      tcp::socket socket =
          co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return;  // closed
      ++connections_;
      asio::co_spawn(loop_, serve(std::move(socket)), asio::detached);
    }
  }

  // Requests of one connection, one after the other. When the service stops, the request under way
  // is answered, and so is one that comes soon after; both answers say that there will be no more.
  awaitable<void> serve(tcp::socket socket) {
    beast::flat_buffer buffer;
    beast::error_code error;
    for (bool more = true; more && co_await has_request(socket, buffer);) {
      Request request;
      co_await http::async_read(socket, buffer, request,
                                asio::redirect_error(asio::use_awaitable, error));
      if (error) break;
      Response response = co_await respond(request);
      more = response.keep_alive();
      co_await http::async_write(socket, response,
                                 asio::redirect_error(asio::use_awaitable, error));
      if (error) break;
    }
    socket.shutdown(tcp::socket::shutdown_send, error);
    if (--connections_ == 0) drained_.cancel();
  }

  // Waits among the silent ones, which are told when the service stops.
  awaitable<bool> has_request(tcp::socket& socket, const beast::flat_buffer& buffer) {
    if (buffer.size() > 0) co_return true;
    if (told_) co_return socket.available() > 0;
    const auto place = silent_.insert(silent_.end(), &socket);
    beast::error_code error;
    co_await socket.async_wait(tcp::socket::wait_read,
                               asio::redirect_error(asio::use_awaitable, error));
    silent_.erase(place);
    co_return !error || socket.available(error) > 0;
  }

  // ---- the end -----------------------------------------------------------------------------

  // In the order of a request: no new connections, no open requests, no pool.
  awaitable<void> stop_on_signal() {
    co_await signals_.async_wait(asio::use_awaitable);
    std::cout << "stopping: " << connections_ << " connections" << std::endl;
    stopping_ = true;
    pool_.announce_shutdown("SIGTERM");
    co_await pause(kLastRequest);  // whoever connects or asks now is still served
    acceptor_.close();
    told_ = true;
    for (tcp::socket* socket : silent_) socket->cancel();
    drained_.expires_after(10s);
    beast::error_code canceled;
    if (connections_ > 0) {
      co_await drained_.async_wait(asio::redirect_error(asio::use_awaitable, canceled));
    }
    const tidegate::CloseReport report = co_await pg::close(pool_);
    std::cout << to_string(report) << std::endl;
    loop_.stop();
  }
  awaitable<void> pause(std::chrono::milliseconds time) {
    asio::steady_timer timer(loop_, time);
    co_await timer.async_wait(asio::use_awaitable);
  }

  static constexpr auto kLastRequest = 250ms;  // for one more request of each connection

  asio::io_context loop_{1};
  tidegate::Pool pool_;
  tcp::acceptor acceptor_;
  asio::signal_set signals_;
  asio::steady_timer drained_{loop_};
  std::list<tcp::socket*> silent_{};
  int connections_ = 0;
  bool stopping_ = false;
  bool told_ = false;
};

int main(int argc, char** argv) {
  try {
    Service(static_cast<unsigned short>(argc > 1 ? std::atoi(argv[1]) : 8080)).run();
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
