// MaintenanceLoop: the one thread that advances a pool's coarse tick and does its upkeep.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <thread>

#include <tidegate/base/export.hpp>
#include <tidegate/core/mutex.hpp>

namespace tidegate::core {

// Calls `pass` when woken, and every `period` as long as pass says there is a reason to (it returns
// true). wake() does not allocate and blocks on nothing but a mutex held for a few instructions.
class TIDEGATE_API MaintenanceLoop {
 public:
  // Throws std::system_error when there is no thread to be had.
  MaintenanceLoop(const char* thread_name, std::chrono::nanoseconds period,
                  std::function<bool()> pass);
  ~MaintenanceLoop();
  MaintenanceLoop(const MaintenanceLoop&) = delete;
  MaintenanceLoop& operator=(const MaintenanceLoop&) = delete;

  void wake() noexcept;
  // As wake(), but the pass comes a period from now, unless there is one before.
  void soon() noexcept;
  // Ends and joins the thread; idempotent. Not from that thread itself.
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
