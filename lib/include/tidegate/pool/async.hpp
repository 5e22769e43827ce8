// The seam for event loops: an acquire that calls back, and calls that stop where they would wait.
//
// Nothing here knows an event loop: tidegate/asio.hpp is one adapter, examples/epoll another.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/expected.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/pool/pool.hpp>
#include <tidegate/pq/attachment.hpp>

namespace tidegate {
namespace detail {
class Fiber;
class PendingAcquire;
}  // namespace detail
}  // namespace tidegate

namespace tidegate::async {

// Takes a connection that is docked at the calling thread's gate: Pool::acquire()'s warm path and
// nothing else. None: use an Acquire. Never blocks, allocates or makes a system call.
TIDEGATE_API std::optional<Lease> try_acquire(Pool& pool,
                                              Location where = Location::current()) noexcept;

// What is attached to the connection; null: nothing. For whoever uses the connection.
// Throws: UsageError when the connection is closed, std::bad_alloc.
TIDEGATE_API std::unique_ptr<Attachment>& attachment(Connection& connection);
// The connection's socket; -1 when it has none.
TIDEGATE_API int socket(const Connection& connection) noexcept;

// One acquire for a caller that must not block. It stands in one queue with the blocking ones, and
// ends as they do, with two differences: it has no barge window, and a connection that wants a ping
// is left to maintenance. A prepare hook runs on the thread that calls begin() or go_on().
//
//   Acquire acquire(pool);
//   auto ended = acquire.begin(ready, context);   // a result: there was no wait
//   ...                                           // ready(context) was called: on the loop,
//   ended = acquire.go_on();                      // a result, or it waits again
//
// One thread at a time, except that `ready` comes from any thread.
class TIDEGATE_API Acquire {
 public:
  // Called when go_on() is due, at most once for each of begin() and go_on() that gave none. On any
  // thread, perhaps before begin() has returned; it must neither block, throw, nor use the Acquire
  // (it would post to an event loop).
  using Ready = void (*)(void* context) noexcept;
  using Ended = std::optional<Expected<Lease>>;

  // Without a deadline: PoolConfig::acquire_timeout. Throws: std::bad_alloc.
  explicit Acquire(Pool& pool, std::optional<Deadline> deadline = {},
                   Location where = Location::current());
  Acquire(const Acquire&) = delete;
  Acquire& operator=(const Acquire&) = delete;
  // Gives the place in the queue up, or the connection back that came meanwhile. Once it has
  // returned, `ready` does not run and is not called any more.
  ~Acquire();

  // Once. The result, unless it has to wait. Throws: std::bad_alloc, and then the acquire is over.
  Ended begin(Ready ready, void* context);
  // Once `ready` was called.
  Ended go_on();
  // For the caller's timer and cancellation, while it waits: the error that ends the acquire; none:
  // it has ended already, and `ready` was called or is about to be. Throws as begin().
  Ended time_out();
  Ended cancel();
  // When to call time_out().
  Deadline deadline() const noexcept;

 private:
  std::shared_ptr<detail::PendingAcquire> pending_;
};

// A call of blocking verbs, on a stack of its own: it stops where it would wait for a descriptor,
// and says for what. Whatever blocks otherwise (a mutex, another library, Pool::acquire()) blocks
// the thread as always.
//
//   Call call([&] { rows = lease->exec("select ..."); });   // the body throws nothing
//   bool waits = call.run();
//   while (waits) waits = call.resume(...);                 // when what wait() says has come
//
// One thread at a time. Another thread may resume the call than did before, so the body keeps no
// address of a thread_local variable across a verb.
class TIDEGATE_API Call {
 public:
  // What a call waits for; whichever comes first.
  struct Wait {
    int fd;  // -1: none. `events` (poll's POLLIN, POLLOUT) or an error on it
    short events;
    int wake_fd;  // readable: a stop_token of the statement has been triggered; negative: none
    Deadline until;
  };
  enum class Came : std::uint8_t { ready, woken, timed_out };

  // `body()` returns nothing and is noexcept, or as good as that: what it throws ends the process.
  // It lives in the caller's frame or object, as long as the call. Throws: std::bad_alloc.
  template <class F>
  explicit Call(F& body)
      : Call([](void* of) noexcept { (*static_cast<F*>(of))(); }, std::addressof(body)) {}
  Call(void (*body)(void* context) noexcept, void* context);
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  // A call that waits is interrupted, and goes to its end on this thread, where its waits block:
  // for the answer to a cancel, ConnectOptions::drain_bound at most.
  ~Call();

  // Begins. Returns: it waits; false: it is over. The same for the next two.
  bool run() noexcept;
  // `events`: what poll(2) would report of the descriptor, with ready.
  bool resume(Came came, short events = 0) noexcept;
  // The statement under way is canceled on the server, as by its stop_token (QueryCanceled), and so
  // is what the body begins afterwards. The call goes on to its end as before.
  bool interrupt() noexcept;
  // Needs: it waits.
  Wait wait() const noexcept;

 private:
  std::unique_ptr<detail::Fiber> fiber_;
};

}  // namespace tidegate::async
