// Lease: a connection in use.
#pragma once

#include <optional>
#include <stop_token>
#include <utility>

#include <tidegate/base/export.hpp>
#include <tidegate/core/ticket.hpp>
#include <tidegate/pq/connection.hpp>
#include <tidegate/watch/lease_info.hpp>

namespace tidegate {

class Lease;
class Pool;
namespace async {
std::optional<Lease> try_acquire(Pool& pool, Location where) noexcept;
}  // namespace async
namespace core {
struct StdSync;
template <class T, class Sync>
class ResourceCore;
}  // namespace core
namespace detail {
class Lane;
class PendingAcquire;
struct PooledConnection;
using PoolCore = core::ResourceCore<PooledConnection, core::StdSync>;
}  // namespace detail

// Move-only; empty when default-constructed, moved from, released or discarded. The destructor
// gives the connection back: a clean one at once, others in the background, as PoolConfig::reset
// says. A lease may outlive the pool. Any thread may use it, one at a time.
class TIDEGATE_API Lease {
 public:
  Lease() noexcept = default;
  Lease(Lease&& other) noexcept
      : core_(std::exchange(other.core_, nullptr)), ticket_(other.ticket_) {}
  Lease& operator=(Lease&& other) noexcept {
    if (this != &other) {
      release();
      core_ = std::exchange(other.core_, nullptr);
      ticket_ = other.ticket_;
    }
    return *this;
  }
  ~Lease() {
    if (core_ != nullptr) give_back(*core_, ticket_);
  }

  // The connection. The calling thread counts as the lease's holder from here on, until another
  // thread uses or adopts the lease; diagnostics and pool_nested_acquire need the holder. A thread
  // that gets the lease from another one, to use it or only to give it back, need do nothing more.
  // Throws: UsageError when the lease is empty.
  Connection& operator*() const;
  Connection* operator->() const { return &**this; }
  explicit operator bool() const noexcept { return core_ != nullptr; }

  // Makes the calling thread the holder from here on, without using the connection.
  void adopt() noexcept;
  // Gives the connection back. Never blocks, allocates or does I/O (but see docs/core.md for a
  // lease that outlives its pool). Does nothing on an empty lease. Called inside a verb of the
  // connection (a row's callback), it empties this lease at once; the connection goes back when the
  // verb is over, as it does for every other way to end a lease.
  void release() noexcept {
    if (core_ != nullptr) give_back(*std::exchange(core_, nullptr), ticket_);
  }
  // Closes the connection instead of giving it back, because it is suspect.
  void discard() noexcept;
  // Takes the connection out of the pool for good; the slot is free at once. A Transaction that is
  // open on the connection stays open, and goes on with it.
  // Throws: UsageError when the lease is empty, or a verb of the connection is under way.
  Connection hijack() &&;
  // Fires when the pool announces its shutdown or closes; a lease that begins later gets a token
  // that has fired. It is a hint to loops: finish this unit of work, and give the lease back. It
  // cancels nothing. The token of an empty lease never fires.
  std::stop_token stop_token() const noexcept;
  // What others see of this lease (Pool::leases()). Throws: UsageError when the lease is empty.
  LeaseInfo info() const;

 private:
  friend class Pool;
  friend std::optional<Lease> async::try_acquire(Pool& pool, Location where) noexcept;
  friend class detail::Lane;
  friend class detail::PendingAcquire;
  Lease(detail::PoolCore* core, core::Ticket ticket) noexcept : core_(core), ticket_(ticket) {}
  // Takes its arguments in registers, so that a lease that ends is not written to once more.
  static void give_back(detail::PoolCore& core, core::Ticket ticket) noexcept;
  // Out of line: if it were inlined, the calls in it would cost give_back() a frame.
  [[gnu::noinline]] static void give_back_used(detail::PoolCore& core,
                                               core::Ticket ticket) noexcept;
  [[gnu::noinline]] static void give_back_by_rules(detail::PoolCore& core,
                                                   core::Ticket ticket) noexcept;
  static void throw_away(detail::PoolCore& core, core::Ticket ticket) noexcept;
  [[gnu::cold]] Connection& use_slowly() const;
  // For a call of Pool that runs the user's code and has this lease in its own frame: no other code
  // can reach the lease, so until that call returns it is certain whose lease it is.
  Connection& use_in_call() const;

  detail::PoolCore* core_ = nullptr;
  core::Ticket ticket_{};
};

}  // namespace tidegate
