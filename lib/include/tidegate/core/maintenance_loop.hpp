// MaintenanceLoop: the one thread that advances a pool's coarse tick and does its upkeep.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <thread>

#include <tidegate/base/export.hpp>
#include <tidegate/core/mutex.hpp>

namespace tidegate::core {

// Calls `pass` when woken, and again every `period` as long as `pass` returns true. wake() does not
// allocate, and blocks on nothing but a mutex that is held for a few instructions.
class TIDEGATE_API MaintenanceLoop {
 public:
  // Throws std::system_error when no thread can be created.
  MaintenanceLoop(const char* thread_name, std::chrono::nanoseconds period,
                  std::function<bool()> pass);
  ~MaintenanceLoop();
  MaintenanceLoop(const MaintenanceLoop&) = delete;
  MaintenanceLoop& operator=(const MaintenanceLoop&) = delete;

  void wake() noexcept;
  // Like wake(), but the pass runs a period from now, unless another pass runs before.
  void soon() noexcept;
  // Ends and joins the thread; idempotent. That thread itself must not call it.
  void stop() noexcept;

 private:
  void run() noexcept;

  const std::chrono::nanoseconds period_;
  const std::function<bool()> pass_;
  Mutex<> mutex_;
  std::condition_variable wake_;
  bool woken_ TIDEGATE_GUARDED_BY(mutex_) = false;
  bool soon_ TIDEGATE_GUARDED_BY(mutex_) = false;
  bool stopped_ TIDEGATE_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace tidegate::core
