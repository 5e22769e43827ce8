#include "pq/statement_limits.hpp"

#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include "pq/forked_descriptors.hpp"

namespace tidegate::pq {

StatementLimits::Kept StatementLimits::to_kept(std::chrono::milliseconds wait) noexcept {
  return std::min<std::chrono::milliseconds>(wait, Kept::max() / 4);
}

void StatementLimits::set_drain_bound(std::chrono::milliseconds bound) noexcept {
  drain_bound_ = to_kept(bound);
}

void StatementLimits::bound(Deadline by, std::stop_token stop) noexcept {
  bound_by_ = by;
  bound_stop_ = std::move(stop);
}

bool StatementLimits::arm(const ExecOptions& options) {
  struck_ = Limit::none;
  given_up_ = false;
  by_ = earlier(options.by, bound_by_);
  if (!options.stop.stop_possible() && !bound_stop_.stop_possible()) return true;
  if (open_bell() < 0) return false;
  if (stops_ == nullptr) stops_ = std::make_unique<Stops>();
  const RingBell ring{bell_.get()};
  if (options.stop.stop_possible()) stops_->statement.emplace(options.stop, ring);
  if (bound_stop_.stop_possible()) stops_->standing.emplace(bound_stop_, ring);
  return true;
}

void StatementLimits::disarm(const ExecOptions& options) noexcept {
  if (stops_ == nullptr || !stops_->any()) return;
  // The destructors wait for a callback that runs; after them nobody rings.
  stops_->statement.reset();
  stops_->standing.reset();
  if (options.stop.stop_requested() || bound_stop_.stop_requested()) silence_bell();
}

Limit StatementLimits::reached(const ExecOptions& options) const noexcept {
  if (options.stop.stop_requested() || bound_stop_.stop_requested() ||
      detail::Fiber::interrupted_here()) {
    return Limit::stop;
  }
  return by_.passed() ? Limit::deadline : Limit::none;
}

int StatementLimits::open_bell() noexcept {
  if (!bell_) bell_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  return bell_.get();
}

void StatementLimits::silence_bell() noexcept {
  eventfd_t rings = 0;
  ::eventfd_read(bell_.get(), &rings);
}

void StatementLimits::strike(Limit why) noexcept {
  struck_ = why;
  drained_by_ = Deadline(drain_bound_);
}

void StatementLimits::give_up() noexcept {
  given_up_ = true;
  drained_by_ = ask_again_ = Deadline::never();
}

void StatementLimits::ask_in(std::chrono::milliseconds wait) noexcept {
  ask_again_after_ = to_kept(wait);
  ask_again_ = Deadline(ask_again_after_);
}

void StatementLimits::asked() noexcept {
  ask_again_ = Deadline(ask_again_after_);
  ask_again_after_ *= 2;
}

void StatementLimits::send_on(int socket) {
  if (stops_ == nullptr) stops_ = std::make_unique<Stops>();
  stops_->sending = socket;
}

void StatementLimits::cut_off_in_child() noexcept {
  if (stops_ != nullptr) cut_off_socket(stops_->sending);
  cut_off_eventfd(bell_.get());
}

}  // namespace tidegate::pq
