// The smallest program: one pool, one query. Where the server is comes from PGHOST, PGPORT, ...
#include <iostream>

#include <tidegate/tidegate.hpp>

int main() try {
  tidegate::Pool pool{""};
  std::cout << pool.query_value<int>("select $1::int4 + 1", 41) << '\n';
} catch (const tidegate::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
