// A LISTEN loop that reconnects: what was missed meanwhile is read from the table, not hoped for.
#include <tidegate/asio.hpp>
#include <tidegate/tidegate.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <iostream>

namespace asio = boost::asio;
namespace pg = tidegate::asio;
using asio::awaitable;
using namespace std::chrono_literals;

// Calls `changed` once at each connect, because something may have been missed, and then for each
// notification, until it returns false.
template <class F>
awaitable<void> listen(tidegate::Pool& pool, F changed) {
  for (;;) {
    try {
      // A connection of its own, taken out of the pool's count of idle ones for as long as we
      // listen.
      pg::Lease lease = co_await pg::acquire(pool);
      co_await lease.exec("listen jobs");
      if (!changed()) co_return;
      for (;;) {
        const auto all = co_await lease.notifications(tidegate::Deadline(30s));
        for (const auto& one : all) {
          std::cout << "notified: " << one.payload << '\n';
          if (!changed()) co_return;
        }
        // Nothing for a while: a dead network looks just like this.
        if (all.empty() && !co_await lease.ping(tidegate::Deadline(5s))) lease.discard();
      }
    } catch (const tidegate::ConnectionLost& lost) {
      std::cout << "lost: " << lost.what() << "; listening again\n";
    } catch (const tidegate::ConnectError& error) {  // the pool has waited for its deadline
      std::cout << error.what() << '\n';
    }
  }
}

awaitable<void> notify_and_break(tidegate::Pool& pool) {
  for (int i = 0; i < 3; ++i) {
    co_await pg::exec(pool, "select pg_notify('jobs', $1)", "job " + std::to_string(i));
    asio::steady_timer timer(co_await asio::this_coro::executor, 50ms);
    co_await timer.async_wait(asio::use_awaitable);
    // The server ends the listener's session, as a restart would.
    co_await pg::exec(pool,
                      "select pg_terminate_backend(pid) from pg_stat_activity where pid <> "
                      "pg_backend_pid() and query = 'listen jobs'");
    timer.expires_after(200ms);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

int main() {
  asio::io_context loop(1);
  tidegate::Pool pool{"pool_name=listener pool_max_conns=2"};
  int changes = 0;
  asio::co_spawn(loop, listen(pool, [&] { return ++changes < 6; }), asio::detached);
  asio::co_spawn(loop, notify_and_break(pool), asio::detached);
  loop.run_for(20s);
  std::cout << changes << " times looked at the table\n";
  return changes == 6 ? 0 : 1;
}
