// What a pool adds to a QueryObserver: slow statements, and where a lease was acquired.
#pragma once

#include <memory>

#include <tidegate/base/location.hpp>
#include <tidegate/pool/config.hpp>
#include <tidegate/pq/connection.hpp>
#include <tidegate/pq/query_observer.hpp>

namespace tidegate::detail {

// What the pool's connections are observed by; null: by nobody. Throws: std::bad_alloc.
std::shared_ptr<QueryObserver> queries_of(const PoolConfig& config);

// See pq::Session::set_acquired_at(). `core`: the PoolCore that has the connection.
Location acquired_at(const void* core, const Connection& connection) noexcept;

}  // namespace tidegate::detail
