#include <support/test_points.hpp>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <vector>

#include <support/rendezvous.hpp>
#include <tidegate/base/test_point.hpp>

namespace tidegate::test {
namespace {

std::mutex mutex;
std::condition_variable changed;
std::vector<Hold*> holds;  // oldest first

}  // namespace

Hold::Hold(std::string_view point) : point_(point) {
  std::lock_guard lock(mutex);
  holds.push_back(this);
  detail::test_point_hook.store(&hook, std::memory_order_release);
}

Hold::~Hold() {
  std::unique_lock lock(mutex);
  std::erase(holds, this);
  if (holds.empty()) detail::test_point_hook.store(nullptr, std::memory_order_release);
  released_ = true;
  changed.notify_all();
  // The thread that stands here still reads this object.
  changed.wait(lock, [this] { return !reached_; });
}

void Hold::await() {
  std::unique_lock lock(mutex);
  if (!changed.wait_for(lock, patience(), [this] { return reached_ || released_; }))
    give_up(point_);
}

void Hold::release() {
  std::lock_guard lock(mutex);
  released_ = true;
  changed.notify_all();
}

bool Hold::reached() const {
  std::lock_guard lock(mutex);
  return reached_;
}

void Hold::hook(const char* name) noexcept {
  std::unique_lock lock(mutex);
  for (Hold* hold : holds) {
    if (hold->reached_ || hold->released_ || hold->point_ != name) continue;
    hold->reached_ = true;
    changed.notify_all();
    changed.wait(lock, [hold] { return hold->released_; });
    hold->reached_ = false;
    changed.notify_all();
    return;
  }
}

}  // namespace tidegate::test
