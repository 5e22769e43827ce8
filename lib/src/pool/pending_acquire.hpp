// PendingAcquire: an acquire that goes away while it waits, and is called back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include <tidegate/base/mutex.hpp>
#include <tidegate/pool/async.hpp>

#include "pool/pool_impl.hpp"

namespace tidegate::detail {

// What an async::Acquire is made of. Held by that one, and by its node while the node waits.
//
// Whoever decides the node calls called_back(), which ends the search on that thread: what is left
// of a search that failed, its admission, must not wait for a loop that may be the one that closes
// the pool. `mutex_` settles the race between that thread and an owner that goes away:
//     decider                         owner, in abandon()
//                                     owner_ := gone; the node is not decided: withdraws it
// or
//     decides the node
//                                     owner_ := gone; cannot withdraw: leaves the rest to the
//                                     decider
//     finds the owner gone: gives the slot back
// or
//     decides; tells the owner
//                                     owner_ := gone; was told: gives the slot back
// Walked by AsyncAcquireRace.*.
//
// The decider may be a thread of the pool, which must not be the one that destroys the pool: so the
// owner takes its reference to the pool along, and the decider uses the core only, which the
// admission keeps alive.
class PendingAcquire final : public std::enable_shared_from_this<PendingAcquire> {
 public:
  using Ended = async::Acquire::Ended;

  PendingAcquire(std::shared_ptr<PoolImpl> pool, std::optional<Deadline> deadline, Location where);
  PendingAcquire(const PendingAcquire&) = delete;
  PendingAcquire& operator=(const PendingAcquire&) = delete;

  Ended begin(async::Acquire::Ready ready, void* context);
  Ended go_on();
  Ended end_as(std::uint32_t word);
  void abandon() noexcept;
  Deadline deadline() const noexcept { return search_.deadline; }

 private:
  using Node = core::WaitNode<core::StdSync>;

  static void called_back(Node& node) noexcept;
  template <class Step>
  Ended step(Step&& step);
  Ended settle(const core::Found& found);
  void drop(const core::Found& found) noexcept;

  std::shared_ptr<PoolImpl> pool_;  // the owner's; null once it has gone
  PoolCore& core_;
  const AcquireWish wish_;
  PoolImpl::Search search_{};
  std::uint32_t gate_ = 0;
  PoolCore::Waiter waiter_{};
  core::Found found_{};  // of the wait, once called back

  Mutex<> mutex_;
  async::Acquire::Ready ready_ TIDEGATE_GUARDED_BY(mutex_) = nullptr;  // null: the owner has gone
  void* context_ TIDEGATE_GUARDED_BY(mutex_) = nullptr;
  bool waits_ TIDEGATE_GUARDED_BY(mutex_) = false;  // the node is the pool's until it is decided
  bool told_ TIDEGATE_GUARDED_BY(mutex_) = false;   // found_ is the owner's
  std::shared_ptr<PendingAcquire> self_{};          // while the node waits
};

}  // namespace tidegate::detail
