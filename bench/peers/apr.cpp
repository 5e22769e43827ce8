// apr-util's apr_reslist of apr_dbd handles, as Apache's mod_dbd has them.
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <apr_dbd.h>
#include <apr_general.h>
#include <apr_pools.h>
#include <apr_reslist.h>

#include <benchmark/benchmark.h>

#include "peers/peer_program.hpp"

namespace {

apr_pool_t* new_apr_pool() {
  apr_pool_t* pool = nullptr;
  if (apr_pool_create(&pool, nullptr) != APR_SUCCESS) throw std::runtime_error("no apr_pool");
  return pool;
}

// What the library needs, once.
const apr_dbd_driver_t* driver() {
  static const apr_dbd_driver_t* const found = [] {
    apr_initialize();
    apr_pool_t* const for_ever = new_apr_pool();
    apr_dbd_init(for_ever);
    const apr_dbd_driver_t* pgsql = nullptr;
    apr_dbd_get_driver(for_ever, "pgsql", &pgsql);
    return pgsql;
  }();
  return found;
}

struct Connection {
  apr_pool_t* memory = nullptr;
  apr_pool_t* of_a_query = nullptr;  // cleared after each
  apr_dbd_t* handle = nullptr;
  apr_dbd_prepared_t* one = nullptr;
};

apr_status_t connect(void** resource, void*, apr_pool_t*) {
  auto connection = std::make_unique<Connection>();
  connection->memory = new_apr_pool();
  apr_pool_create(&connection->of_a_query, connection->memory);
  const apr_status_t opened = apr_dbd_open(driver(), connection->memory, "", &connection->handle);
  if (opened != APR_SUCCESS) return opened;
  if (apr_dbd_prepare(driver(), connection->memory, connection->handle, "select %d::int4", "one",
                      &connection->one) != 0) {
    return APR_EGENERAL;
  }
  *resource = connection.release();
  return APR_SUCCESS;
}

apr_status_t disconnect(void* resource, void*, apr_pool_t*) {
  const std::unique_ptr<Connection> connection(static_cast<Connection*>(resource));
  apr_dbd_close(driver(), connection->handle);
  apr_pool_destroy(connection->memory);
  return APR_SUCCESS;
}

class AprPeer {
 public:
  static constexpr const char* kName = "apr_reslist";
  static std::optional<std::string> missing() {
    if (driver() != nullptr) return std::nullopt;
    return "not installed (Debian package libaprutil1-dbd-pgsql; scripts/setup --peers)";
  }

  class Handle {
   public:
    explicit Handle(apr_reslist_t* list) : list_(list) {
      if (apr_reslist_acquire(list_, &resource_) != APR_SUCCESS) {
        list_ = nullptr;
        throw std::runtime_error("apr_reslist_acquire failed");
      }
    }
    Handle(Handle&& other) noexcept
        : list_(std::exchange(other.list_, nullptr)), resource_(other.resource_) {}
    Handle& operator=(Handle&& other) noexcept {
      std::swap(list_, other.list_);
      std::swap(resource_, other.resource_);
      return *this;
    }
    ~Handle() {
      if (list_ != nullptr) apr_reslist_release(list_, resource_);
    }
    Connection& operator*() const noexcept { return *static_cast<Connection*>(resource_); }

   private:
    apr_reslist_t* list_;
    void* resource_ = nullptr;
  };

  explicit AprPeer(bench::PoolShape shape) : memory_(new_apr_pool()) {
    const auto size = static_cast<int>(shape.made);
    if (driver() == nullptr || apr_reslist_create(&list_, size, size, size, 0, &connect,
                                                  &disconnect, nullptr, memory_) != APR_SUCCESS) {
      throw std::runtime_error("apr_reslist_create failed: is the server up?");
    }
  }
  ~AprPeer() { apr_pool_destroy(memory_); }  // the list with it
  AprPeer(const AprPeer&) = delete;
  AprPeer& operator=(const AprPeer&) = delete;

  Handle acquire() { return Handle(list_); }
  static void touch(Handle& handle) noexcept { benchmark::DoNotOptimize(&*handle); }
  static PGconn* native(Handle& handle) {
    return static_cast<PGconn*>(apr_dbd_native_handle(driver(), (*handle).handle));
  }
  int select(int value) {
    const Handle handle = acquire();
    const Connection& connection = *handle;
    const std::string text = std::to_string(value);
    apr_dbd_results_t* rows = nullptr;
    apr_dbd_row_t* row = nullptr;
    if (apr_dbd_pvselect(driver(), connection.of_a_query, connection.handle, &rows, connection.one,
                         1, text.c_str(), nullptr) != 0 ||
        apr_dbd_get_row(driver(), connection.of_a_query, rows, &row, 1) != 0) {
      throw std::runtime_error("the query failed");
    }
    const int result = std::atoi(apr_dbd_get_entry(driver(), row, 0));
    apr_pool_clear(connection.of_a_query);
    return result;
  }

 private:
  apr_pool_t* memory_;
  apr_reslist_t* list_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) { return bench::run_peer<AprPeer>(argc, argv); }
