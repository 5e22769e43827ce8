// The ten lines, awaited: somebody else's program over the component asio.
#include <tidegate/asio.hpp>

#include <iostream>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

boost::asio::awaitable<void> ask(tidegate::Pool& pool) {
  tidegate::asio::Lease lease = co_await tidegate::asio::acquire(pool);
  std::cout << co_await lease.query_value<int>("select $1::int4 + 1", 41) << '\n';
}

int main() {
  boost::asio::io_context loop;
  tidegate::Pool pool{""};
  boost::asio::co_spawn(loop, ask(pool), boost::asio::detached);
  loop.run();
}
