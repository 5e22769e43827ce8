// PlanRun: one run of a ShutdownPlan; its thread and its watcher share it.
#pragma once

#include <functional>
#include <optional>
#include <stop_token>
#include <thread>

#include <tidegate/base/file_descriptor.hpp>
#include <tidegate/base/mutex.hpp>
#include <tidegate/lifecycle/shutdown_plan.hpp>

#include "lifecycle/service_manager.hpp"

namespace tidegate::detail {

// The plan's own thread calls run_stage() and finish(). The watcher does what must happen while a
// stage runs: it fires the stop token, receives further signals, tells systemd, ends the process.
class PlanRun {
 public:
  // `report` has the stages' names and bounds. Starts the watcher.
  PlanRun(const PlanOptions& options, PlanReport report, SignalWaiter* signals);
  ~PlanRun() { end_watcher(); }
  PlanRun(const PlanRun&) = delete;
  PlanRun& operator=(const PlanRun&) = delete;

  // Runs stage i, unless `total` is used up (the first one always runs).
  void run_stage(std::size_t i, const std::function<void(StageContext&)>& run) noexcept;
  // Returns the report after all stages had their turn. Writes it, unless the watcher has done so.
  PlanReport finish();

 private:
  using Clock = std::chrono::steady_clock;

  void watch() noexcept;
  void end_watcher() noexcept;
  void wake_watcher() noexcept;
  void on_signal(int number) noexcept;
  void on_time() noexcept;
  Deadline next_event() const noexcept;
  PlanReport snapshot() const;
  void write(const PlanReport& report) const noexcept;

  // Fixed after construction.
  const PlanOptions& options_;
  SignalWaiter* const signals_;
  const ServiceManager manager_{};
  const Clock::time_point began_ = Clock::now();
  const Deadline end_;
  const FileDescriptor wake_;

  mutable Mutex<> mutex_;
  PlanReport report_ TIDEGATE_GUARDED_BY(mutex_);
  std::optional<std::size_t> running_ TIDEGATE_GUARDED_BY(mutex_){};
  Clock::time_point stage_began_ TIDEGATE_GUARDED_BY(mutex_){};
  Deadline stage_end_ TIDEGATE_GUARDED_BY(mutex_){};
  std::stop_source stage_stop_ TIDEGATE_GUARDED_BY(mutex_){std::nostopstate};
  int hurries_ TIDEGATE_GUARDED_BY(mutex_) = 0;  // signals since the one that began it
  bool ended_ TIDEGATE_GUARDED_BY(mutex_) = false;
  Clock::time_point next_notice_ TIDEGATE_GUARDED_BY(mutex_) = began_;

  std::thread watcher_;
};

}  // namespace tidegate::detail
