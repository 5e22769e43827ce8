#include "support/watchdog.hpp"

#include <algorithm>
#include <cstdio>
#include <sstream>

#include <tidegate/core/sync.hpp>

#include "support/actor.hpp"
#include "support/artefacts.hpp"
#include "support/verdict.hpp"

namespace tidegate::stress {
namespace {

constexpr std::chrono::milliseconds kTurn{100};
constexpr int kTurnsPerProgress = 50;

}  // namespace

thread_local constinit Actor* Actor::current_ = nullptr;

Actor::Actor(std::uint32_t its_index, Random its_random, bool is_watched)
    : index(its_index),
      random(its_random),
      thread_id_(core::current_thread_id()),
      is_watched_(is_watched) {
  current_ = this;
  if (is_watched_) Watchdog::instance().add(*this);
}

Actor::~Actor() {
  if (is_watched_) Watchdog::instance().remove(*this);
  current_ = nullptr;
}

Watchdog& Watchdog::instance() {
  static Watchdog watchdog;
  return watchdog;
}

void Watchdog::start(std::chrono::seconds limit) {
  limit_ = limit;
  thread_ = std::thread([this] { run(); });
}

void Watchdog::stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  stop_.notify_all();
  thread_.join();
}

void Watchdog::add(Actor& actor) {
  std::lock_guard lock(mutex_);
  watched_.push_back({&actor, 0, 0});
}

void Watchdog::remove(Actor& actor) {
  std::lock_guard lock(mutex_);
  std::erase_if(watched_, [&](const Watched& w) { return w.actor == &actor; });
}

void Watchdog::set_status(Look look, Dump dump) {
  std::lock_guard lock(mutex_);
  look_ = std::move(look);
  dump_ = std::move(dump);
}

void Watchdog::run() {
  std::unique_lock lock(mutex_);
  for (int turn = 1; !stopped_; ++turn) {
    stop_.wait_until(lock, std::chrono::steady_clock::now() + kTurn, [this] { return stopped_; });
    if (stopped_) return;
    check();
    if (turn % kTurnsPerProgress == 0 && look_) print_progress(turn / 10);
  }
}

void Watchdog::print_progress(int seconds) {
  const Progress progress = look_();
  const std::uint64_t per_second = (progress.acquires - acquires_shown_) * 1000 /
                                   (kTurnsPerProgress * static_cast<std::uint64_t>(kTurn.count()));
  acquires_shown_ = progress.acquires;
  std::printf("%4d s  %llu acquires/s; %s\n", seconds, static_cast<unsigned long long>(per_second),
              progress.text.c_str());
  std::fflush(stdout);
}

void Watchdog::check() {
  const auto limit = static_cast<int>(limit_ / kTurn);
  for (Watched& w : watched_) {
    const std::uint64_t calls = w.actor->calls();
    if (w.actor->verb() == nullptr || calls != w.calls) {
      w.calls = calls;
      w.turns = 0;
    } else if (++w.turns > limit) {
      hang(w);
    }
  }
}

void Watchdog::hang(const Watched& stuck) {
  std::ostringstream text;
  text << "actor " << stuck.actor->index << " is in " << stuck.actor->verb() << " for more than "
       << limit_.count() << " s";
  if (look_) text << "\n  " << look_().text;
  for (const Watched& w : watched_) {
    const char* verb = w.actor->verb();
    text << "\n  actor " << w.actor->index << " (thread " << w.actor->thread_id() << "): ";
    if (verb == nullptr) {
      text << "in no call";
    } else {
      text << verb << " for " << w.turns / 10 << '.' << w.turns % 10 << " s";
    }
  }
  if (dump_) text << "\nthe pool:\n" << dump_();
  write_stacks();
  fail_hang(text.str());
}

}  // namespace tidegate::stress
