// PooledTransaction: a transaction on a connection of its own.
#pragma once

#include <utility>

#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/pool/lease.hpp>
#include <tidegate/pq/transaction.hpp>

namespace tidegate {

// A Transaction that owns its lease, made by Pool::begin(). Its destructor rolls back, unless the
// transaction is over, and gives the connection back; commit() and rollback() give it back at once.
class TIDEGATE_API PooledTransaction : public Transaction {
 public:
  PooledTransaction() noexcept = default;  // over
  PooledTransaction(PooledTransaction&&) noexcept = default;
  PooledTransaction& operator=(PooledTransaction&& other) noexcept;
  ~PooledTransaction() { abandon(); }

  void commit(Location where = Location::current());
  void rollback(Location where = Location::current());
  // The calling thread is the lease's holder from here on, as with Lease::adopt().
  void adopt() noexcept { lease_.adopt(); }

 private:
  friend class Pool;
  PooledTransaction(Lease lease, Transaction transaction) noexcept
      : Transaction(std::move(transaction)), lease_(std::move(lease)) {}

  Lease lease_{};
};

}  // namespace tidegate
