// Poco 1.11's SessionPool over Poco::Data::PostgreSQL.
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <Poco/Data/PostgreSQL/Connector.h>
#include <Poco/Data/PostgreSQL/Utility.h>
#include <Poco/Data/Session.h>
#include <Poco/Data/SessionPool.h>
#include <Poco/Data/Statement.h>
#include <Poco/Semaphore.h>

#include "peers/peer_program.hpp"

namespace {

std::string conninfo() {  // Poco does not read PG* itself
  std::string words;
  for (const auto& [key, variable] :
       {std::pair{"host", "PGHOST"}, std::pair{"port", "PGPORT"}, std::pair{"user", "PGUSER"},
        std::pair{"dbname", "PGDATABASE"}}) {
    if (const char* value = std::getenv(variable)) {
      words += std::string(key) + '=' + value + ' ';
    }
  }
  return words + "password=none";
}

// get() throws when all sessions are out, so Poco's semaphore stands in front, as its users would
// put one. A statement cannot outlive its lease: it is made, and prepared, each time.
class PocoPeer {
 public:
  static constexpr const char* kName = "poco";
  static std::optional<std::string> missing() { return std::nullopt; }

  class Handle {
   public:
    explicit Handle(PocoPeer& pool) : pool_(&pool), session_(take(pool)) {}
    Handle(Handle&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)),
          session_(std::exchange(other.session_, std::nullopt)) {}
    Handle& operator=(Handle&& other) noexcept {
      std::swap(pool_, other.pool_);
      std::swap(session_, other.session_);
      return *this;
    }
    ~Handle() {
      if (pool_ == nullptr) return;
      session_.reset();
      pool_->free_.set();
    }
    Poco::Data::Session& operator*() noexcept { return *session_; }

   private:
    static Poco::Data::Session take(PocoPeer& pool) {
      pool.free_.wait();
      return pool.pool_.get();
    }

    PocoPeer* pool_;
    std::optional<Poco::Data::Session> session_;
  };

  explicit PocoPeer(bench::PoolShape shape)
      : pool_(connector(), conninfo(), static_cast<int>(shape.made),
              static_cast<int>(shape.max_size)),
        free_(static_cast<int>(shape.max_size)) {
    std::vector<Handle> held;  // together, so that each of them is a connection of its own
    for (std::uint32_t i = 0; i < shape.made; ++i) held.push_back(acquire());
  }

  Handle acquire() { return Handle(*this); }
  static void touch(Handle& handle) noexcept { benchmark::DoNotOptimize(&*handle); }
  static PGconn* native(Handle& handle) {
    return *Poco::Data::PostgreSQL::Utility::handle(*handle);
  }
  int select(int value) {
    using namespace Poco::Data::Keywords;
    Handle handle = acquire();
    int result = 0;
    Poco::Data::Statement statement(*handle);
    statement << "select $1::int4", into(result), use(value), now;
    return result;
  }

 private:
  static const std::string& connector() {
    Poco::Data::PostgreSQL::Connector::registerConnector();
    return Poco::Data::PostgreSQL::Connector::KEY;
  }

  Poco::Data::SessionPool pool_;
  Poco::Semaphore free_;
};

}  // namespace

int main(int argc, char** argv) { return bench::run_peer<PocoPeer>(argc, argv); }
