// libpqxx 6, which has no pool, in the pool that people write around it.
#include <memory>
#include <optional>
#include <string>

#include <pqxx/pqxx>

#include "peers/peer_program.hpp"
#include "support/mutex_pool.hpp"

namespace {

using Connection = std::unique_ptr<pqxx::connection>;

class LibpqxxPeer {
 public:
  static constexpr const char* kName = "libpqxx";
  static std::optional<std::string> missing() { return std::nullopt; }

  using Handle = bench::MutexPool<Connection>::Handle;

  static constexpr bool kTakesConninfo = true;

  explicit LibpqxxPeer(const bench::PoolShape& shape)
      : pool_(shape.made, [&shape] { return connect(shape.conninfo); }) {}

  Handle acquire() { return pool_.acquire(); }
  static void touch(Handle& handle) noexcept { benchmark::DoNotOptimize((*handle).get()); }
  int select(int value) {
    Handle handle = acquire();
    pqxx::nontransaction work(**handle);  // no BEGIN and COMMIT, as with the others
    return work.exec_prepared1("one", value)[0].as<int>();
  }

 private:
  static Connection connect(const std::string& conninfo) {
    auto connection = std::make_unique<pqxx::connection>(conninfo);
    connection->prepare("one", "select $1::int4");
    return connection;
  }

  bench::MutexPool<Connection> pool_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run_peer<LibpqxxPeer>(argc, argv); }
