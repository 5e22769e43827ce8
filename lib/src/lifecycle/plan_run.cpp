#include "lifecycle/plan_run.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <system_error>
#include <utility>

#include <tidegate/base/error.hpp>
#include <tidegate/base/thread.hpp>

#include "base/wait.hpp"

namespace tidegate::detail {
namespace {

using Outcome = StageReport::Outcome;

// systemd's own advice is to extend early, again and again.
constexpr std::chrono::seconds kNoticePeriod{1};

}  // namespace

PlanRun::PlanRun(const PlanOptions& options, PlanReport report, SignalWaiter* signals)
    : options_(options),
      signals_(signals),
      end_(Deadline(began_) + options.total),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      report_(std::move(report)) {
  if (!wake_) throw std::system_error(errno, std::generic_category(), "tidegate: eventfd");
  watcher_ = start_thread("tidegate-plan", [this] { watch(); });
}

// ---- the plan's own thread -------------------------------------------------------------------

void PlanRun::run_stage(std::size_t i, const std::function<void(StageContext&)>& run) noexcept {
  detail::Lock lock(mutex_);
  StageReport& stage = report_.stages[i];
  if (i > 0 && end_.passed()) {
    report_.in_time = false;
    return;
  }
  running_ = i;
  stage.outcome = Outcome::running;
  stage_began_ = Clock::now();
  stage_end_ = earlier(Deadline(stage_began_) + stage.bound, end_);
  stage_stop_ = std::stop_source();
  if (hurries_ > 0) stage_stop_.request_stop();
  StageContext context(stage_end_, stage_stop_.get_token());
  lock.unlock();
  wake_watcher();

  std::string error;
  bool failed = true;
  try {
    run(context);
    failed = false;
  } catch (...) {
    error = detail::what_is_handled();
  }

  lock.lock();
  running_.reset();
  stage.took = Clock::now() - stage_began_;
  stage.error = std::move(error);
  stage.outcome = failed                     ? Outcome::failed
                  : stage.took > stage.bound ? Outcome::overran
                                             : Outcome::done;
}

PlanReport PlanRun::finish() {
  end_watcher();
  const PlanReport report = snapshot();
  write(report);
  return report;
}

// ---- the watcher -----------------------------------------------------------------------------

void PlanRun::watch() noexcept {
  for (;;) {
    short seen = 0;
    wait_for(signals_ != nullptr ? signals_->fd() : -1, POLLIN, wake_.get(), next_event(), seen);
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t size = ::read(wake_.get(), &count, sizeof count);
    {
      const detail::Lock lock(mutex_);
      if (ended_) return;
    }
    while (signals_ != nullptr) {
      const std::optional<int> number = signals_->wait(Deadline::now());
      if (!number) break;
      on_signal(*number);
    }
    on_time();
  }
}

void PlanRun::on_signal(int number) noexcept {
  detail::Lock lock(mutex_);
  ++report_.signals_seen;
  ++hurries_;
  if (hurries_ == 1) {
    std::stop_source stop = stage_stop_;
    lock.unlock();  // the code that it calls is not ours
    stop.request_stop();
    return;
  }
  lock.unlock();
  write(snapshot());
  std::quick_exit(128 + number);
}

void PlanRun::on_time() noexcept {
  detail::Lock lock(mutex_);
  const bool over = report_.in_time && end_.passed() && running_.has_value();
  if (over) report_.in_time = false;
  if (manager_.listens() && Clock::now() >= next_notice_) {
    manager_.stopping(std::chrono::duration_cast<std::chrono::microseconds>(end_.remaining()));
    next_notice_ = Clock::now() + kNoticePeriod;
  }
  std::stop_source stop(std::nostopstate);
  if (running_.has_value() && stage_end_.passed()) stop = std::exchange(stage_stop_, stop);
  lock.unlock();
  stop.request_stop();
  if (!over) return;
  write(snapshot());
  if (options_.hard_exit) std::quick_exit(1);
}

Deadline PlanRun::next_event() const noexcept {
  const detail::Lock lock(mutex_);
  Deadline next;
  if (running_.has_value()) {
    if (stage_stop_.stop_possible()) next = stage_end_;  // not fired yet
    if (report_.in_time) next = earlier(next, end_);
  }
  return manager_.listens() ? earlier(next, Deadline(next_notice_)) : next;
}

void PlanRun::wake_watcher() noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t size = ::write(wake_.get(), &one, sizeof one);
}

void PlanRun::end_watcher() noexcept {
  {
    const detail::Lock lock(mutex_);
    ended_ = true;
  }
  wake_watcher();
  if (watcher_.joinable()) watcher_.join();
}

// ---- the report ------------------------------------------------------------------------------

PlanReport PlanRun::snapshot() const {
  const detail::Lock lock(mutex_);
  PlanReport report = report_;
  report.took = Clock::now() - began_;
  if (running_) report.stages[*running_].took = Clock::now() - stage_began_;
  return report;
}

void PlanRun::write(const PlanReport& report) const noexcept {
  try {
    const std::string text = to_string(report);
    if (options_.log) {
      options_.log(text);
    } else {
      std::cerr << text << std::endl;
    }
  } catch (...) {
    // Out of memory, or a log that throws: nobody is left to be told.
  }
}

}  // namespace tidegate::detail
