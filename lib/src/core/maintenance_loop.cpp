#include <tidegate/core/maintenance_loop.hpp>

#include <utility>

#include <tidegate/core/thread.hpp>

namespace tidegate::core {

MaintenanceLoop::MaintenanceLoop(const char* thread_name, std::chrono::nanoseconds period,
                                 std::function<bool()> pass)
    : period_(period),
      pass_(std::move(pass)),
      thread_(start_thread(thread_name, [this] { run(); })) {}

MaintenanceLoop::~MaintenanceLoop() { stop(); }

void MaintenanceLoop::run() noexcept {
  bool again = false;
  Lock lock(mutex_);
  for (;;) {
    const auto due = [this]() TIDEGATE_REQUIRES(mutex_) { return woken_ || stopped_; };
    if (!again)
      wake_.wait(lock.native(),
                 [this]() TIDEGATE_REQUIRES(mutex_) { return woken_ || soon_ || stopped_; });
    wake_.wait_until(lock.native(), std::chrono::steady_clock::now() + period_, due);
    if (stopped_) return;
    woken_ = soon_ = false;
    lock.unlock();
    again = pass_();
    lock.lock();
  }
}

void MaintenanceLoop::wake() noexcept {
  {
    const Lock lock(mutex_);
    woken_ = true;
  }
  wake_.notify_one();
}

void MaintenanceLoop::soon() noexcept {
  {
    const Lock lock(mutex_);
    soon_ = true;
  }
  wake_.notify_one();
}

void MaintenanceLoop::stop() noexcept {
  {
    const Lock lock(mutex_);
    stopped_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

}  // namespace tidegate::core
