// Who may close the pool, and which thread does it.
#include <cerrno>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include <tidegate/base/duration.hpp>
#include <tidegate/core/sync.hpp>
#include <tidegate/core/thread.hpp>

#include "pool/events.hpp"
#include "pool/hook_scope.hpp"
#include "pool/lease_table.hpp"
#include "pool/pool_impl.hpp"

namespace tidegate::detail {
namespace {

void require_phase(const std::optional<std::chrono::milliseconds>& bound, const char* name,
                   Location where) {
  if (!bound || bound->count() >= 0) return;
  throw UsageError(std::string("close: ") + name + " is " + format_duration(*bound) +
                       "; it must be 0 (skip that phase) or more",
                   where);
}

}  // namespace

void PoolImpl::announce_shutdown(std::string_view reason, Location where) {
  refuse_if_inherited(where);
  if (core_->slots().closed() || !closing_.announce(reason, where)) return;
  maintenance_.stop_refilling();
  tell(config_.observer, [](Observer& o) { o.close_phase("lame duck"); });
  core_->announced().request_stop();
}

CloseReport PoolImpl::close(const CloseOptions& options, Location where) {
  require_phase(options.drain, "drain", where);
  require_phase(options.cancel, "cancel", where);
  require_phase(options.force, "force", where);
  if (InHook::of(*this) || closing_.runs_here()) {
    throw WouldDeadlock(name_, WouldDeadlock::Situation::close_on_pool_thread, {}, where);
  }
  const auto own = leases_held_by(*core_, core::current_thread_id(), Known::in_call);
  if (!own.empty()) {
    throw WouldDeadlock(name_, WouldDeadlock::Situation::close_with_lease, holders_of(own), where);
  }
  return closing_.run(options, where, weak_from_this());
}

void PoolImpl::request_close(const char* reason, Location where) noexcept {
  if (inherited()) return;
  const int error = errno;  // the errno of the code that a signal has interrupted
  if (closing_.request(reason, where)) maintenance_.want_close();
  errno = error;
}

// Runs on the maintenance thread, which the close itself needs. If there is no other thread for the
// close, only the fence is set, until somebody calls close().
void PoolImpl::start_closer() noexcept {
  try {
    closer_ = core::start_thread("tidegate-close", [this] {
      try {
        closing_.run_requested(weak_from_this());
      } catch (...) {  // out of memory for the report
        // The fence is set; the next close(), or the end of the pool, does the rest.
      }
    });
  } catch (const std::exception&) {  // no thread, or no memory for one
    core_->slots().close();
  }
}

void PoolImpl::end(std::shared_ptr<PoolImpl> impl) noexcept {
  if (impl->inherited()) {  // its threads and its connections are the parent's
    [[maybe_unused]] auto* const left = new (std::nothrow) std::shared_ptr<PoolImpl>(impl);
    return;
  }
  const auto close = [](const std::shared_ptr<PoolImpl>& pool, Location where) noexcept {
    try {
      pool->closing_.run_last({.reason = "pool destroyed"}, where, pool);
    } catch (...) {  // out of memory for the report
      pool->closing_.end_without_report(pool);
    }
  };
  const Location here = Location::current();
  if (!InHook::of(*impl) && !impl->closing_.runs_here()) return close(impl, here);
  // The close waits for this thread, so another thread does it, and is the last to hold the pool.
  impl->request_close("pool destroyed in a hook or on a thread of the pool", here);
  try {
    core::start_thread("tidegate-close", [impl, close, here] { close(impl, here); }).detach();
  } catch (const std::exception&) {
    // No thread: the fence is set. The rest of the pool stays, because it must not wait for itself.
    [[maybe_unused]] auto* const left = new (std::nothrow) std::shared_ptr<PoolImpl>(impl);
  }
}

}  // namespace tidegate::detail
