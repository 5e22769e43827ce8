#include "pq/canceller.hpp"

#include <libpq-fe.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <mutex>
#include <new>
#include <optional>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include <tidegate/base/fork.hpp>
#include <tidegate/base/thread.hpp>

namespace tidegate::pq {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// How long the end waits for requests that are under way.
constexpr auto kFarewell = 100ms;

// When memory ran out for a request: how long until it is tried again.
constexpr auto kAgain = 10ms;

// When the books allow the next request: at most per_second in any second.
Clock::time_point allowed_at(CancelBooks& books, Clock::time_point now) noexcept {
  while (!books.recent.empty() && books.recent.front() + 1s <= now) books.recent.pop_front();
  return books.recent.size() < books.per_second ? now : books.recent.front() + 1s;
}

}  // namespace

void FreeCancelKey::operator()(pg_cancel* key) const noexcept { PQfreeCancel(key); }

CancelTrace CancelTarget::trace() const noexcept {
  const std::uint32_t word = word_.load();
  if ((word & (kQueued | kSending)) != 0) return CancelTrace::pending;
  if ((word & kDoubtful) != 0) return CancelTrace::doubtful;
  return (word & kSent) != 0 ? CancelTrace::delivered : CancelTrace::none;
}

void CancelTarget::settle() noexcept {
  std::uint32_t word = word_.load();
  while ((word & (kQueued | kSending | kDoubtful)) == 0 &&
         !word_.compare_exchange_weak(word, word & ~kSent)) {
  }
}

struct Canceller::State {
  explicit State(Send how) : send(std::move(how)) {}

  const Send send;
  std::mutex mutex;
  std::condition_variable work;  // a request has come, or the end
  std::condition_variable done;  // a request has ended
  // mutex
  std::deque<std::shared_ptr<CancelTarget>> queue{};
  struct Worker {
    std::thread thread{};
    CancelTarget* sending = nullptr;  // what is under way here
    Clock::time_point since{};        // of that
    long thread_id = 0;
  };
  std::array<Worker, kThreads> workers{};
  unsigned started = 0;
  unsigned waiting = 0;
  bool stopping = false;

  bool anybody_sends() const noexcept {
    return std::any_of(workers.begin(), workers.end(),
                       [](const Worker& w) { return w.sending != nullptr; });
  }
  // visit(Worker&) for each that is at a request of the group.
  template <class Visit>
  void for_each_sending(const CancelBooks& books, Visit&& visit) {
    for (Worker& worker : workers) {
      if (worker.sending != nullptr && worker.sending->books_.get() == &books) visit(worker);
    }
  }
  static void count_stuck(CancelTarget& target) noexcept {
    if (!std::exchange(target.overdue_, true)) target.books_->stuck.fetch_add(1);
  }
  // The oldest request that its group's rate allows; or when one will be, in `next`.
  std::shared_ptr<CancelTarget> take(std::optional<Clock::time_point>& next) noexcept {
    const auto now = Clock::now();
    next.reset();
    for (auto it = queue.begin(); it != queue.end(); ++it) {
      CancelBooks& books = *(*it)->books_;
      const auto at = allowed_at(books, now);
      if (at > now) {
        next = next ? std::min(*next, at) : at;
        continue;
      }
      try {
        books.recent.push_back(now);
      } catch (const std::bad_alloc&) {  // one that is not in the books is not sent
        next = now + kAgain;
        continue;
      }
      auto target = std::move(*it);
      queue.erase(it);
      return target;
    }
    return nullptr;
  }
};

std::shared_ptr<Canceller> Canceller::shared() {
  // Never destroyed: pools of static lifetime may end after this file's statics would.
  struct Process {
    Process* parents = nullptr;
    std::mutex mutex{};
    std::weak_ptr<Canceller> current{};
  };
  static auto* process = new Process;
  // The threads of the parent's canceller are not in a child, nor is who had locked the mutex: what
  // may not be whole is kept out of use.
  static const auto* const anew = new detail::ForkHook(
      [](void*) noexcept { process = new Process{.parents = process}; }, nullptr);
  static_cast<void>(anew);
  const std::lock_guard lock(process->mutex);
  auto canceller = process->current.lock();
  if (!canceller) {
    canceller = std::make_shared<Canceller>(&send_cancel);
    process->current = canceller;
  }
  return canceller;
}

Canceller::Canceller(Send send) : state_(std::make_shared<State>(std::move(send))) {}

Canceller::~Canceller() {
  std::array<std::thread, kThreads> ended;
  {
    std::unique_lock lock(state_->mutex);
    state_->stopping = true;
    for (const auto& target : state_->queue) target->word_.fetch_and(~CancelTarget::kQueued);
    state_->queue.clear();
    state_->work.notify_all();
    state_->done.wait_for(lock, kFarewell, [this] { return !state_->anybody_sends(); });
    for (unsigned i = 0; i < kThreads; ++i) {
      State::Worker& worker = state_->workers[i];
      if (!worker.thread.joinable()) continue;
      if (worker.sending != nullptr) {
        worker.thread.detach();
      } else {
        ended[i] = std::move(worker.thread);
      }
    }
  }
  for (std::thread& thread : ended) {
    if (thread.joinable()) thread.join();
  }
}

Canceller::Asked Canceller::request(const std::shared_ptr<CancelTarget>& target) noexcept {
  const std::lock_guard lock(state_->mutex);
  std::uint32_t word = target->word_.load();
  do {
    if ((word & CancelTarget::kRunning) == 0) return Asked::idle;
    if ((word & (CancelTarget::kQueued | CancelTarget::kSending)) != 0) return Asked::accepted;
  } while (!target->word_.compare_exchange_weak(word, word | CancelTarget::kQueued));
  try {
    state_->queue.push_back(target);
    if (state_->waiting < state_->queue.size() && state_->started < kThreads) {
      const unsigned worker = state_->started;
      state_->workers[worker].thread = detail::start_thread(
          "tidegate-cancel", [state = state_, worker] { serve(state, worker); });
      ++state_->started;
    }
  } catch (const std::exception&) {  // no memory, or no thread
    if (state_->started == 0 || state_->queue.empty() || state_->queue.back() != target) {
      if (!state_->queue.empty() && state_->queue.back() == target) state_->queue.pop_back();
      target->word_.fetch_and(~CancelTarget::kQueued);
      return Asked::no_thread;
    }
  }
  state_->work.notify_one();
  return Asked::accepted;
}

void Canceller::withdraw(const CancelTarget& target) noexcept {
  const std::lock_guard lock(state_->mutex);
  const auto found = std::find_if(state_->queue.begin(), state_->queue.end(),
                                  [&](const auto& queued) { return queued.get() == &target; });
  if (found == state_->queue.end()) return;
  (*found)->word_.fetch_and(~CancelTarget::kQueued);
  state_->queue.erase(found);
}

bool Canceller::wait(CancelTarget& target, Deadline deadline) noexcept {
  std::unique_lock lock(state_->mutex);
  const auto over = [&] { return target.trace() != CancelTrace::pending; };
  if (deadline.is_never()) {
    state_->done.wait(lock, over);
  } else if (!state_->done.wait_until(lock, deadline.at(), over)) {
    if ((target.word_.load() & CancelTarget::kSending) != 0) State::count_stuck(target);
    return false;
  }
  return true;
}

void Canceller::give_up(const CancelBooks& books) noexcept {
  const std::lock_guard lock(state_->mutex);
  state_->for_each_sending(books, [](State::Worker& w) {
    const bool runs = (w.sending->word_.load() & CancelTarget::kRunning) != 0;
    if (runs) State::count_stuck(*w.sending);
  });
}

std::vector<CancelGroup::Hanging> Canceller::hanging(const CancelBooks& books, Deadline deadline) {
  std::vector<CancelGroup::Hanging> requests;
  const auto none_hangs = [&] {
    requests.clear();
    state_->for_each_sending(books, [&](const State::Worker& w) {
      if (w.sending->overdue_) requests.push_back({.since = w.since, .thread_id = w.thread_id});
    });
    return requests.empty();
  };
  std::unique_lock lock(state_->mutex);
  state_->done.wait_until(lock, deadline.at(), none_hangs);
  return requests;
}

void Canceller::serve(const std::shared_ptr<State>& state, unsigned worker) noexcept {
  std::unique_lock lock(state->mutex);
  State::Worker& self = state->workers[worker];
  self.thread_id = ::gettid();
  std::optional<Clock::time_point> next;
  while (!state->stopping) {
    const std::shared_ptr<CancelTarget> target = state->take(next);
    if (!target) {
      ++state->waiting;
      next ? static_cast<void>(state->work.wait_until(lock, *next)) : state->work.wait(lock);
      --state->waiting;
      continue;
    }
    // The queued bit goes as the two others come: never a moment without one of them.
    target->word_.fetch_xor(CancelTarget::kQueued | CancelTarget::kSending);
    target->word_.fetch_or(CancelTarget::kSent);
    target->books_->sent.fetch_add(1, std::memory_order_relaxed);
    target->overdue_ = false;
    self.sending = target.get();
    self.since = Clock::now();
    lock.unlock();
    Delivery delivery = Delivery::doubtful;
    try {
      delivery = state->send(*target);
    } catch (...) {  // doubtful
    }
    lock.lock();
    self.sending = nullptr;
    if (delivery != Delivery::delivered) {
      target->books_->failed.fetch_add(1, std::memory_order_relaxed);
    }
    if (delivery == Delivery::doubtful) target->word_.fetch_or(CancelTarget::kDoubtful);
    target->word_.fetch_and(~CancelTarget::kSending);
    state->done.notify_all();
  }
}

// What libpq says begins with the call that failed, and is never translated. When that was the
// connect, the request was never sent.
Canceller::Delivery send_cancel(const CancelTarget& target) {
  std::array<char, 256> said{};
  if (PQcancel(target.key(), said.data(), static_cast<int>(said.size())) == 1) {
    return target.pooled() ? Canceller::Delivery::doubtful : Canceller::Delivery::delivered;
  }
  const std::string_view why(said.data());
  const bool unsent = why.starts_with("PQcancel() -- socket() failed") ||
                      why.starts_with("PQcancel() -- connect() failed");
  return unsent ? Canceller::Delivery::not_sent : Canceller::Delivery::doubtful;
}

}  // namespace tidegate::pq
