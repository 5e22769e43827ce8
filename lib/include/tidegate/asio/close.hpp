// close: a pool's shutdown, awaited.
#pragma once

#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

#include <tidegate/asio/operation.hpp>
#include <tidegate/pool/close.hpp>
#include <tidegate/pool/pool.hpp>

namespace tidegate::asio {
namespace detail {

// close() waits in many places, so it has a thread. This object is owned by a wait without end on
// the loop, and the thread is joined before it goes.
template <class Handler>
class Closing final : public std::enable_shared_from_this<Closing<Handler>> {
 public:
  explicit Closing(Handler handler)
      : executor_(executor_of(handler)),
        handler_(std::move(handler)),
        owner_(executor_, net::steady_timer::time_point::max()) {}
  ~Closing() {
    if (thread_.joinable()) thread_.join();
  }

  void start(Pool& pool, CloseOptions options, Location where) {
    owner_.async_wait([self = this->shared_from_this()](const error_code&) { self->complete(); });
    thread_ = std::thread([this, &pool, options = std::move(options), where] {
      try {
        report_.emplace(pool.close(options, where));
      } catch (...) {
        error_ = std::current_exception();
      }
      net::post(executor_, [weak = this->weak_from_this()] {
        if (const auto self = weak.lock()) self->owner_.cancel();
      });
    });
  }

 private:
  void complete() {
    thread_.join();
    Handler handler = *std::move(handler_);
    handler_.reset();
    CloseReport report = report_ ? *std::move(report_) : CloseReport();
    std::move(handler)(std::move(error_), std::move(report));
  }

  const Executor executor_;
  std::optional<Handler> handler_;
  net::basic_waitable_timer<Deadline::Clock, net::wait_traits<Deadline::Clock>, Executor> owner_;
  std::optional<CloseReport> report_{};
  std::exception_ptr error_{};
  std::thread thread_{};
};

}  // namespace detail

// Completes with (std::exception_ptr, CloseReport), as Pool::close() returns or throws; meanwhile
// the loop runs on, so that coroutines with leases can end them. The pool has to outlive the
// operation. If the loop ends before, its end waits for the close.
template <class Token = net::use_awaitable_t<>>
auto close(Pool& pool, const CloseOptions& options, Token&& token = Token(),
           Location where = Location::current()) {
  return net::async_initiate<Token, void(std::exception_ptr, CloseReport)>(
      [](auto handler, Pool* of, CloseOptions how, Location at) {
        const auto closing =
            std::make_shared<detail::Closing<decltype(handler)>>(std::move(handler));
        closing->start(*of, std::move(how), at);
      },
      token, &pool, options, where);
}
// An overload, because a default argument `= {}` would be an aggregate in braces inside the
// caller's co_await expression, which g++ 12 ends twice (docs/coroutines.md). The same elsewhere.
template <class Token = net::use_awaitable_t<>>
  requires(!std::is_convertible_v<Token, const CloseOptions&>)
auto close(Pool& pool, Token&& token = Token(), Location where = Location::current()) {
  return close(pool, CloseOptions(), std::forward<Token>(token), where);
}

}  // namespace tidegate::asio
