// SOCI 4's connection_pool, with sessions of PostgreSQL.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <soci/connection-pool.h>
#include <soci/postgresql/soci-postgresql.h>
#include <soci/soci.h>

#include "peers/peer_program.hpp"

namespace {

// A statement belongs to a session, and lease() gives the session's position: so it is prepared
// once and kept there. lease() and give_back() are the cheapest way in; session(pool) would add to
// them.
class SociPeer {
  struct Prepared {
    explicit Prepared(soci::session& session)
        : statement(
              (session.prepare << "select :value::int4", soci::into(result), soci::use(value))) {}
    int value = 0;
    int result = 0;
    soci::statement statement;
  };

 public:
  static constexpr const char* kName = "soci";
  static std::optional<std::string> missing() { return std::nullopt; }

  class Handle {
   public:
    explicit Handle(soci::connection_pool& pool) : pool_(&pool), position_(pool.lease()) {}
    Handle(Handle&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), position_(other.position_) {}
    Handle& operator=(Handle&& other) noexcept {
      std::swap(pool_, other.pool_);
      std::swap(position_, other.position_);
      return *this;
    }
    ~Handle() {
      if (pool_ != nullptr) pool_->give_back(position_);
    }
    std::size_t position() const noexcept { return position_; }
    soci::session& operator*() { return pool_->at(position_); }

   private:
    soci::connection_pool* pool_;
    std::size_t position_;
  };

  static constexpr bool kTakesConninfo = true;

  explicit SociPeer(const bench::PoolShape& shape) : pool_(shape.made) {
    for (std::uint32_t i = 0; i < shape.made; ++i) {
      pool_.at(i).open(soci::postgresql, shape.conninfo);
      prepared_.push_back(std::make_unique<Prepared>(pool_.at(i)));
    }
  }

  Handle acquire() { return Handle(pool_); }
  static void touch(Handle& handle) { benchmark::DoNotOptimize(&*handle); }
  static PGconn* native(Handle& handle) {
    return static_cast<soci::postgresql_session_backend*>((*handle).get_backend())->conn_;
  }
  int select(int value) {
    const Handle handle = acquire();
    Prepared& prepared = *prepared_[handle.position()];
    prepared.value = value;
    prepared.statement.execute(true);
    return prepared.result;
  }

 private:
  soci::connection_pool pool_;
  std::vector<std::unique_ptr<Prepared>> prepared_;  // before the sessions: they go first
};

}  // namespace

int main(int argc, char** argv) { return bench::run_peer<SociPeer>(argc, argv); }
