// Operation: one asynchronous verb: an acquire, the call of a verb, or one after the other.
#pragma once

#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <poll.h>

#include <tidegate/asio/net.hpp>
#include <tidegate/asio/registration.hpp>
#include <tidegate/pool/async.hpp>
#include <tidegate/pool/pool.hpp>

namespace tidegate::asio::detail {

// Drives the seam (async.hpp) with Asio's descriptors and timers; knows no result and no handler.
//
// A loop may have many threads, and the handlers of a descriptor and a timer may run side by side,
// even while a turn is still asking for them. So each turn, from one wait to the next, has the
// mutex, and a handler that comes says which wait it is of: the first of a wait takes its turn, and
// the others are late. What waits is owned by handlers that a loop has: with the loop it ends.
class Driver : public std::enable_shared_from_this<Driver> {
 public:
  explicit Driver(Executor executor) : executor_(std::move(executor)) {}
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;
  virtual ~Driver() = default;

  void start_acquire(Pool& pool, std::optional<Deadline> by, Location where) {
    turn(Caller::other, [&] {
      if (auto lease = async::try_acquire(pool, where)) return on_lease(*std::move(lease));
      gate_ = Registrations::of(executor_).gate();
      acquire_.emplace(pool, by, where);
      acquire_ended(acquire_->begin(&Driver::on_ready, this));
    });
  }
  void start_call(Connection& connection) {
    turn(Caller::other, [&] { call(connection); });
  }
  // By the handler's cancellation slot.
  void cancel() {
    turn(Caller::other, [&] {
      if (runs_) {  // the body itself has asked for it
        call_->interrupt();
      } else if (acquire_) {
        acquire_ended(acquire_->cancel());
      } else if (call_) {
        forget_waits();
        step([&] { return call_->interrupt(); });
      }
    });
  }

 protected:
  // The verb, on a stack of its own. Catches what it throws.
  virtual void body() noexcept = 0;
  virtual void on_lease(tidegate::Lease lease) = 0;
  virtual void on_error(std::exception_ptr error) noexcept = 0;
  // Calls the handler: the last thing that is done with this object.
  virtual void complete() = 0;

  void call(Connection& connection) {
    connection_ = &connection;
    call_.emplace([](void* self) noexcept { static_cast<Driver*>(self)->body(); }, this);
    step([&] { return call_->run(); });
  }
  void finish() noexcept { done_ = true; }
  // For the destructor of a class that has what the body uses.
  void end_call() noexcept {
    call_.reset();
    acquire_.reset();
  }

 private:
  // `other`: somebody's code is around the turn, an initiating function or a cancellation, from
  // which the handler must not be called.
  enum class Caller : bool { loop, other };
  using Came = async::Call::Came;

  template <class F>
  void turn(Caller caller, F&& f) {
    {
      const std::lock_guard lock(mutex_);
      try {
        f();
      } catch (...) {
        on_error(std::current_exception());
        call_.reset();
        acquire_.reset();
        forget_waits();
        done_ = true;
      }
      if (!done_ || completing_) return;
      completing_ = true;
    }
    if (caller == Caller::loop) return complete();
    net::post(executor_, [self = shared_from_this()] { self->complete(); });
  }
  // The same for a handler of the wait `of`: nothing, if that wait is over.
  template <class F>
  void turn_of(unsigned of, F&& f) {
    turn(Caller::loop, [&] {
      if (of != wait_) return;
      forget_waits();
      f();
    });
  }

  // ---- the acquire

  // On any thread, while the loop may be ending on another:
  //     this thread                     the loop's
  //     the gate is open: posts
  //                                     closes the gate; destroys what was posted, and this object
  // or
  //                                     closes the gate; destroys this object: the destructor of
  //                                     acquire_ waits for this call
  //     the gate is closed: returns
  static void on_ready(void* of) noexcept {
    const std::shared_ptr<LoopGate> gate = static_cast<Driver*>(of)->gate_;
    const std::lock_guard lock(gate->mutex);
    if (!gate->open) return;
    if (const auto self = static_cast<Driver*>(of)->weak_from_this().lock()) {
      net::post(self->executor_, [self] {
        self->turn(Caller::loop, [&] {
          if (!self->acquire_) return;
          self->forget_waits();
          self->acquire_ended(self->acquire_->go_on());
        });
      });
    }
  }
  void acquire_ended(async::Acquire::Ended ended) {
    if (!ended) return wait_until(acquire_->deadline());
    acquire_.reset();
    forget_waits();
    on_lease(std::move(*ended).value());
  }

  // ---- the call

  template <class F>
  void step(F&& f) {
    runs_ = true;
    const bool waits = f();
    runs_ = false;
    if (waits) return wait_for(call_->wait());
    call_.reset();
    finish();
  }
  void came(unsigned of, Came what, short events) {
    turn_of(of, [&] { step([&] { return call_->resume(what, events); }); });
  }
  void wait_for(const async::Call::Wait& wait) {
    if (wait.fd >= 0) {
      Descriptor& descriptor = wait.fd == async::socket(*connection_)
                                   ? Registration::of(*connection_, executor_)
                                   : watch(wait.fd);
      if ((wait.events & POLLIN) != 0) wait_on(descriptor, Descriptor::wait_read, POLLIN);
      if ((wait.events & POLLOUT) != 0) wait_on(descriptor, Descriptor::wait_write, POLLOUT);
    }
    if (wait.wake_fd >= 0) {
      wait_on(watch(wait.wake_fd), Descriptor::wait_read, POLLIN, Came::woken);
    }
    // A wait for time alone has a timer even without end: it is what owns this object.
    if (!wait.until.is_never() || waited_on_.size() == 0) wait_until(wait.until);
  }
  // For this wait only; seldom: a stop_token of the user's, or another thread that sends.
  Descriptor& watch(int fd) {
    auto watched = std::make_unique<Watched>(executor_, std::move(watched_));
    watched_ = std::move(watched);
    watched_->descriptor.assign(fd);
    return watched_->descriptor;
  }
  void wait_on(Descriptor& descriptor, Descriptor::wait_type type, short event,
               Came what = Came::ready) {
    waited_on_.add(descriptor);
    auto handler = [self = shared_from_this(), of = wait_, event, what](const error_code& error) {
      // Of its own wait that is not canceled, an error is the descriptor's.
      self->came(of, what, static_cast<short>(error ? POLLERR : event));
    };
    // A handler without an executor runs on the descriptor's, which most often is the same, and
    // saves Asio a few copies of it.
    if (descriptor.get_executor() == executor_) {
      descriptor.async_wait(type, std::move(handler));
    } else {
      descriptor.async_wait(type, net::bind_executor(executor_, std::move(handler)));
    }
  }

  // ---- both

  // A wait without end has a timer, too: it owns this object.
  void wait_until(Deadline until) {
    if (!timer_) timer_.emplace(executor_);
    timer_->expires_at(until.at());
    timer_set_ = true;
    timer_->async_wait([self = shared_from_this(), of = wait_](const error_code& error) {
      if (error) return;
      self->turn(Caller::loop, [&] {
        if (of != self->wait_) return;
        if (self->call_) {
          self->forget_waits();
          self->step([&] { return self->call_->resume(Came::timed_out); });
        } else if (self->acquire_) {
          // None: it was served at the last moment, and on_ready() is on its way; until it is here,
          // a timer owns this object.
          auto ended = self->acquire_->time_out();
          ended ? self->acquire_ended(std::move(ended)) : self->wait_until(Deadline::never());
        }
      });
    });
  }
  // What is waited for does not count any more.
  void forget_waits() noexcept {
    ++wait_;
    if (std::exchange(timer_set_, false)) timer_->cancel();
    waited_on_.cancel();
    watched_.reset();
  }

  // A descriptor that is not ours, and those watched before it.
  struct Watched {
    Watched(const Executor& executor, std::unique_ptr<Watched> others)
        : descriptor(executor), next(std::move(others)) {}
    Watched(const Watched&) = delete;
    Watched& operator=(const Watched&) = delete;
    ~Watched() {
      if (descriptor.is_open()) descriptor.release();
    }
    Descriptor descriptor;
    std::unique_ptr<Watched> next;
  };

  // The descriptors that a turn waits on.
  class WaitedOn {
   public:
    int size() const noexcept { return count_; }
    void add(Descriptor& one) noexcept { all_[count_++] = &one; }
    void cancel() noexcept {
      error_code ignored;
      while (count_ > 0) all_[--count_]->cancel(ignored);
    }

   private:
    Descriptor* all_[3]{};
    int count_ = 0;
  };

  const Executor executor_;
  std::recursive_mutex mutex_{};  // recursive: a body may cancel its own operation
  Connection* connection_ = nullptr;
  std::shared_ptr<LoopGate> gate_{};  // once there is an acquire_
  std::optional<async::Acquire> acquire_{};
  std::optional<async::Call> call_{};
  std::optional<
      net::basic_waitable_timer<Deadline::Clock, net::wait_traits<Deadline::Clock>, Executor>>
      timer_{};
  std::unique_ptr<Watched> watched_{};
  WaitedOn waited_on_{};
  unsigned wait_ = 0;  // the number of the wait that counts
  bool timer_set_ = false;
  bool runs_ = false;  // the body runs, in this turn
  bool done_ = false;
  bool completing_ = false;  // the handler is called, or about to be
};

template <class R>
struct ResultOf {
  using Signature = void(std::exception_ptr, R);
};
template <>
struct ResultOf<void> {
  using Signature = void(std::exception_ptr);
};
struct Nothing {};

// `F`: takes the Connection (for R = Lease: nothing is called) and gives R.
template <class R, class F, class Handler>
class Operation final : public Driver {
 public:
  Operation(Executor executor, F f, Handler handler)
      : Driver(std::move(executor)), f_(std::move(f)), handler_(std::move(handler)) {
#if defined(TIDEGATE_ASIO_CANCELS)
    auto slot = net::get_associated_cancellation_slot(*handler_);
    if (slot.is_connected()) {
      slot.assign([this](net::cancellation_type) { this->cancel(); });
    }
#endif
  }
  ~Operation() override { end_call(); }

 private:
  static constexpr bool kIsAcquire = std::is_same_v<F, Nothing>;

  void body() noexcept override {
    if constexpr (!kIsAcquire) {
      try {
        if constexpr (std::is_void_v<R>) {
          f_();
        } else {
          result_.emplace(f_());
        }
      } catch (...) {
        error_ = std::current_exception();
      }
    }
  }
  void on_lease(tidegate::Lease lease) override {
    if constexpr (kIsAcquire) {
      result_.emplace(std::move(lease));
      finish();
    } else {
      lease_ = std::move(lease);
      f_.on(*lease_);
      call(*lease_);
    }
  }
  void on_error(std::exception_ptr error) noexcept override { error_ = std::move(error); }
  void complete() override {
    const auto keep = shared_from_this();
    lease_.release();
#if defined(TIDEGATE_ASIO_CANCELS)
    auto slot = net::get_associated_cancellation_slot(*handler_);
    if (slot.is_connected()) slot.clear();
#endif
    Handler handler = *std::move(handler_);
    handler_.reset();
    if constexpr (std::is_void_v<R>) {
      std::move(handler)(std::move(error_));
    } else {
      // A handler gets a value with its error, too.
      R result = result_ ? *std::move(result_) : R();
      std::move(handler)(std::move(error_), std::move(result));
    }
  }

  F f_;
  std::optional<Handler> handler_;
  tidegate::Lease lease_{};
  std::exception_ptr error_{};
  std::optional<std::conditional_t<std::is_void_v<R>, Nothing, R>> result_{};
};

// Where the handler runs, and so the verb. A handler that does not care (a function, a future) gets
// a thread of Asio's own.
template <class Handler>
Executor executor_of(const Handler& handler) {
  const auto executor = net::get_associated_executor(handler);
  if constexpr (std::is_convertible_v<decltype(executor), Executor>) {
    return executor;
  } else {
    return net::system_executor();
  }
}

// A verb on a connection that the caller has.
template <class R, class F, class Token>
auto call_on(Connection& connection, F f, Token&& token) {
  return net::async_initiate<Token, typename ResultOf<R>::Signature>(
      [](auto handler, Connection* on, F verb) {
        using Handler = decltype(handler);
        Executor executor = executor_of(handler);
        verb.on(*on);
        const auto operation = std::make_shared<Operation<R, F, Handler>>(
            std::move(executor), std::move(verb), std::move(handler));
        operation->start_call(*on);
      },
      token, &connection, std::move(f));
}
// A verb on a connection that is acquired for it. R = Lease, F = Nothing: only the acquire.
template <class R, class F, class Token>
auto call_with(Pool& pool, std::optional<Deadline> by, Location where, F f, Token&& token) {
  return net::async_initiate<Token, typename ResultOf<R>::Signature>(
      [](auto handler, Pool* of, std::optional<Deadline> deadline, Location at, F verb) {
        using Handler = decltype(handler);
        Executor executor = executor_of(handler);
        const auto operation = std::make_shared<Operation<R, F, Handler>>(
            std::move(executor), std::move(verb), std::move(handler));
        operation->start_acquire(*of, deadline, at);
      },
      token, &pool, by, where, std::move(f));
}

}  // namespace tidegate::asio::detail
