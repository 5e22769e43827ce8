// What a session shares with other threads, and leaves behind for them when it ends.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include <tidegate/base/fork.hpp>
#include <tidegate/pq/cancel_group.hpp>

#include "pq/cancel/canceller.hpp"
#include "pq/mirror.hpp"

namespace tidegate::pq {

struct SharedSession {
  SharedSession(std::shared_ptr<CancelGroup> group, std::shared_ptr<CancelTarget> to, int pid)
      : cancels(std::move(group)), target(std::move(to)), backend_pid(pid) {}

  // Fixed.
  const std::shared_ptr<CancelGroup> cancels;
  const std::shared_ptr<CancelTarget> target;
  const int backend_pid;
  const std::uint32_t forks = detail::ForkHook::forks();

  Mirror mirror{};

  // This process is a child of the one that opened the session.
  bool inherited() const noexcept { return forks != detail::ForkHook::forks(); }
  // Any thread: cancels the statement under way; false when there is none, or no thread to do that.
  bool cancel() const noexcept;
};

}  // namespace tidegate::pq
