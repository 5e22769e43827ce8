// Queries side by side on one thread, and a deadline for them all.
#include <tidegate/asio.hpp>
#include <tidegate/tidegate.hpp>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_future.hpp>

#include <iostream>
#include <vector>

namespace asio = boost::asio;
namespace pg = tidegate::asio;
using namespace std::chrono_literals;

// A report of four regions, each a query of its own: as slow as the slowest, not as all four. What
// is not there by the deadline is canceled on the server.
asio::awaitable<void> report(tidegate::Pool& pool, tidegate::Deadline by) {
  const auto executor = co_await asio::this_coro::executor;
  std::vector<asio::steady_timer> ends;
  std::vector<std::string> lines(4);
  for (int region = 0; region < 4; ++region)
    ends.emplace_back(executor, asio::steady_timer::time_point::max());
  for (int region = 0; region < 4; ++region) {
    const auto index = static_cast<std::size_t>(region);
    tidegate::ExecOptions options;
    options.by = by;
    pg::query_value<std::string>(
        pool, options, "select 'region ' || $1::int4 from pg_sleep($1::int4 * 0.05)", region,
        asio::bind_executor(executor, [&, index](std::exception_ptr error, std::string line) {
          lines[index] = error ? "too late" : std::move(line);
          ends[index].cancel();
        }));
  }
  for (asio::steady_timer& end : ends) {
    boost::system::error_code canceled;
    co_await end.async_wait(asio::redirect_error(asio::use_awaitable, canceled));
  }
  for (const std::string& line : lines) std::cout << line << '\n';
}

int main() {
  asio::io_context loop(1);
  tidegate::Pool pool{"pool_max_conns=4"};
  auto done = asio::co_spawn(loop, report(pool, tidegate::Deadline(5s)), asio::use_future);
  loop.run();
  done.get();  // or throws
}
