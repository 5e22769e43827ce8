// The scopes in which a hook runs.
#pragma once

#include <stop_token>
#include <utility>

#include <tidegate/base/deadline.hpp>
#include <tidegate/pq/connection.hpp>

#include "pq/pool_access.hpp"

namespace tidegate::detail {

class PoolImpl;

// While an InHook lives, the calling thread is in a hook of `pool`. On the stack only.
class InHook {
 public:
  explicit InHook(const PoolImpl& pool) noexcept
      : pool_(pool), outer_(std::exchange(innermost(), this)) {}
  ~InHook() { innermost() = outer_; }
  InHook(const InHook&) = delete;
  InHook& operator=(const InHook&) = delete;

  // True also in a hook of another pool that was called from a hook of this pool.
  static bool of(const PoolImpl& pool) noexcept {
    for (const InHook* scope = innermost(); scope != nullptr; scope = scope->outer_) {
      if (&scope->pool_ == &pool) return true;
    }
    return false;
  }

 private:
  static const InHook*& innermost() noexcept {
    thread_local const InHook* scope = nullptr;
    return scope;
  }

  const PoolImpl& pool_;
  const InHook* outer_;
};

// Stops when either of two stops does. Throws std::bad_alloc.
class EitherStop {
 public:
  EitherStop(std::stop_token one, std::stop_token other)
      : on_one_(std::move(one), Request{source_}), on_other_(std::move(other), Request{source_}) {}
  EitherStop(const EitherStop&) = delete;
  EitherStop& operator=(const EitherStop&) = delete;

  std::stop_token token() const noexcept { return source_.get_token(); }

 private:
  struct Request {
    std::stop_source& source;
    void operator()() const noexcept { source.request_stop(); }
  };
  std::stop_source source_{};
  std::stop_callback<Request> on_one_;
  std::stop_callback<Request> on_other_;
};

// While a Bounded lives, every statement on `connection` ends at the bound.
class Bounded {
 public:
  Bounded(Connection& connection, Deadline by, std::stop_token stop) noexcept
      : connection_(connection) {
    pq::PoolAccess(connection_).bound(by, std::move(stop));
  }
  ~Bounded() { pq::PoolAccess(connection_).bound({}, {}); }
  Bounded(const Bounded&) = delete;
  Bounded& operator=(const Bounded&) = delete;

 private:
  Connection& connection_;
};

}  // namespace tidegate::detail
