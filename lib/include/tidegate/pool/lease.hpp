// Lease: a connection in use.
#pragma once

#include <stop_token>
#include <utility>

#include <tidegate/base/export.hpp>
#include <tidegate/core/ticket.hpp>
#include <tidegate/pq/connection.hpp>
#include <tidegate/watch/lease_info.hpp>

namespace tidegate {

namespace core {
struct StdSync;
template <class T, class Sync>
class ResourceCore;
}  // namespace core
namespace detail {
struct PooledConnection;
using PoolCore = core::ResourceCore<PooledConnection, core::StdSync>;
}  // namespace detail

// Move-only; empty when default-constructed, moved from, released or discarded. Its end gives the
// connection back: clean ones at once, others as PoolConfig::reset says, in the background. May
// outlive the pool. For one thread at a time, any thread.
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

  // The connection. The calling thread counts as the lease's holder from here on, until another one
  // uses or adopts it: that is for diagnostics, and for pool_nested_acquire. A lease that is handed
  // on, to be used or only given back there, needs nothing more.
  // Throws: UsageError when the lease is empty.
  Connection& operator*() const;
  Connection* operator->() const { return &**this; }
  explicit operator bool() const noexcept { return core_ != nullptr; }

  // The calling thread is the holder from here on, without using the connection.
  void adopt() noexcept;
  // Gives the connection back. Never blocks, allocates or does I/O (but see docs/core.md for a
  // lease that outlives its pool). Does nothing on an empty lease. Inside a verb of the connection
  // (a row's callback) this lease is empty at once, and its end, however it comes about, takes
  // place when the verb is over.
  void release() noexcept {
    if (core_ != nullptr) give_back(*std::exchange(core_, nullptr), ticket_);
  }
  // The connection is suspect: closed instead of given back.
  void discard() noexcept;
  // Takes the connection out of the pool for good; the slot is free at once. A Transaction that is
  // open on it stays so, and goes on with it.
  // Throws: UsageError when the lease is empty, or a verb of the connection is under way.
  Connection hijack() &&;
  // Fires when the pool announces its shutdown or closes; has fired for a lease that begins after
  // that. A hint to loops: finish this unit of work, and give the lease back. Nothing is canceled
  // by it. Of an empty lease: never fires.
  std::stop_token stop_token() const noexcept;
  // What others see of it (Pool::leases()). Throws: UsageError when the lease is empty.
  LeaseInfo info() const;

 private:
  friend class Pool;
  Lease(detail::PoolCore* core, core::Ticket ticket) noexcept : core_(core), ticket_(ticket) {}
  // In registers: a lease that ends need not be written to once more.
  static void give_back(detail::PoolCore& core, core::Ticket ticket) noexcept;
  // Out of line: inlined, its call would cost give_back() a frame.
  [[gnu::noinline]] static void give_back_used(detail::PoolCore& core,
                                               core::Ticket ticket) noexcept;
  [[gnu::noinline]] static void give_back_by_rules(detail::PoolCore& core,
                                                   core::Ticket ticket) noexcept;
  static void throw_away(detail::PoolCore& core, core::Ticket ticket) noexcept;
  [[gnu::cold]] Connection& use_slowly() const;
  // For a call of Pool that runs code of the user, and has this lease in its own frame: nobody else
  // can get at it, so until that call returns it is certain whose lease it is.
  Connection& use_in_call() const;

  detail::PoolCore* core_ = nullptr;
  core::Ticket ticket_{};
};

}  // namespace tidegate
