#include <tidegate/pool/pooled_transaction.hpp>

#include <chrono>

#include <tidegate/pool/pool.hpp>

#include "pool/pool_impl.hpp"

namespace tidegate {

PooledTransaction& PooledTransaction::operator=(PooledTransaction&& other) noexcept {
  if (this != &other) {
    abandon();  // before the lease that it runs on is given back
    lease_ = std::move(other.lease_);
    Transaction::operator=(std::move(other));
  }
  return *this;
}

// When commit or rollback throws, the lease ends with this object.
void PooledTransaction::commit(Location where) {
  Transaction::commit(where);
  lease_.release();
}

void PooledTransaction::rollback(Location where) {
  Transaction::rollback(where);
  lease_.release();
}

// An acquire is useless if it cannot end before the work that it is for has to end.
Lease Pool::acquire_within(Deadline by, const std::stop_token& stop, Location where) {
  if (by.is_never() && !stop.stop_possible()) return acquire(where);
  const Deadline own = impl_->timeout_from(std::chrono::steady_clock::now());
  return acquire(earlier(own, by), stop, where);
}

PooledTransaction Pool::begin(const TxOptions& options, Location where) {
  return begin_on(acquire_within(options.by, {}, where), options, where);
}

PooledTransaction Pool::begin(Deadline deadline, const TxOptions& options, Location where) {
  return begin_on(acquire(deadline, {}, where), options, where);
}

PooledTransaction Pool::begin_on(Lease lease, const TxOptions& options, Location where) {
  Transaction transaction = lease->begin(options, where);
  return {std::move(lease), std::move(transaction)};
}

BatchResults Pool::run(const Batch& batch, const ExecOptions& options, Location where) {
  if (batch.empty()) return {};
  return acquire_within(options.by, options.stop, where)->run(batch, options, where);
}

}  // namespace tidegate
