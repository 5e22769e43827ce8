#include "pq/cancel/canceller.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <new>
#include <thread>
#include <utility>

#include <tidegate/base/mutex.hpp>
#include <tidegate/base/thread.hpp>
#include <tidegate/pq/file_descriptor.hpp>

#include "base/fiber.hpp"
#include "pq/wait.hpp"

namespace tidegate::pq {
namespace {

using Clock = std::chrono::steady_clock;
using Progress = CancelCall::Progress;
using namespace std::chrono_literals;

// How long the destructor waits for requests that are under way, and then for the thread.
constexpr auto kTermination = 100ms;
constexpr auto kStuck = 5s;

// How long until a request is tried again that found no room, here or at the server.
constexpr auto kAgain = 10ms;
// How often a fiber looks whether a request is over; most take a fraction of this.
constexpr auto kLookOnFiber = 2ms;

// When the books allow the next request: at most per_second in any second.
Clock::time_point allowed_at(CancelBooks& books, Clock::time_point now) noexcept {
  while (!books.recent.empty() && books.recent.front() + 1s <= now) books.recent.pop_front();
  return books.recent.size() < books.per_second ? now : books.recent.front() + 1s;
}

}  // namespace

// A request on its way.
struct Canceller::Flight {
  std::shared_ptr<CancelTarget> target;
  Clock::time_point since;
  // Used by the thread only.
  std::unique_ptr<CancelCall> call{};
  Progress progress = Progress::connecting;
  // Under the canceller's mutex: nobody waits for its end, and its target has no part in it.
  bool forgotten = false;
};

struct Canceller::State {
  State(MakeCall how, std::chrono::milliseconds longest) : make(std::move(how)), bound(longest) {}

  const MakeCall make;
  const std::chrono::milliseconds bound;
  detail::Mutex<> mutex;
  std::condition_variable done;  // a request has ended, or the thread has
  std::deque<std::shared_ptr<CancelTarget>> queue TIDEGATE_GUARDED_BY(mutex){};
  // Guarded by the mutex. Only the thread changes it, so the thread may read it without the mutex.
  std::deque<Flight> flights{};
  // An eventfd: a request has come, or the end. Under the mutex until the thread runs; fixed then.
  FileDescriptor wake{};
  std::thread thread TIDEGATE_GUARDED_BY(mutex){};
  long thread_id TIDEGATE_GUARDED_BY(mutex) = 0;
  Deadline termination TIDEGATE_GUARDED_BY(mutex){};  // until when the stopping thread may go on
  bool stopping TIDEGATE_GUARDED_BY(mutex) = false;
  bool ended TIDEGATE_GUARDED_BY(mutex) = false;

  void ring() const noexcept {
    if (wake) ::eventfd_write(wake.get(), 1);
  }
  // Calls visit(Flight&) for each request of the group that is not forgotten.
  template <class Visit>
  void for_each_flight(const CancelBooks& books, Visit&& visit) TIDEGATE_REQUIRES(mutex) {
    for (Flight& flight : flights) {
      if (&flight.target->books() == &books && !flight.forgotten) visit(flight);
    }
  }
  static void count_stuck(CancelTarget& target) noexcept {
    if (!std::exchange(target.overdue_, true)) target.books().stuck.fetch_add(1);
  }
  // Begins the requests for which there is room and which their group's rate allows, the oldest
  // first; returns when the rate allows another one.
  Deadline launch() noexcept TIDEGATE_REQUIRES(mutex) {
    const auto now = Clock::now();
    Deadline next = Deadline::never();
    for (auto it = queue.begin(); it != queue.end();) {
      CancelTarget& target = **it;
      const auto at = allowed_at(target.books(), now);
      if (at > now) {
        next = earlier(next, at);
      } else if (target.server_->on_their_way < kPerServer && !is_in_use(target)) {
        if (!launch(*it, now)) return earlier(next, now + kAgain);
        it = queue.erase(it);
        continue;
      }
      ++it;
    }
    return next;
  }
  // A forgotten request still uses libpq's request object, and a session has only one.
  bool is_in_use(const CancelTarget& target) const noexcept {
    return target.key_.request &&
           std::any_of(flights.begin(), flights.end(),
                       [&](const auto& other) { return other.target.get() == &target; });
  }
  // False: there is no memory. A request that is not in the books is not sent.
  bool launch(const std::shared_ptr<CancelTarget>& target, Clock::time_point now) noexcept
      TIDEGATE_REQUIRES(mutex) {
    try {
      flights.push_back({.target = target, .since = now});
    } catch (const std::bad_alloc&) {
      return false;
    }
    try {
      flights.back().call = make(*target);
      target->books().recent.push_back(now);
    } catch (const std::exception&) {
      flights.pop_back();
      return false;
    }
    ++target->server_->on_their_way;
    target->begun_.fetch_add(1, std::memory_order_relaxed);
    target->overdue_ = false;
    // One step clears the queued bit and sets the other: never a moment without one of them.
    target->word_.fetch_xor(CancelTarget::kQueued | CancelTarget::kSending);
    return true;
  }
};

// What the thread does.
class Canceller::Loop {
 public:
  explicit Loop(std::shared_ptr<State> state) noexcept : state_(std::move(state)) {}

  void run() noexcept {
    detail::Lock lock(state_->mutex);
    state_->thread_id = ::gettid();
    for (;;) {
      Deadline next = state_->launch();
      if (state_->stopping) {
        if (state_->termination.passed() || nobody_is_waited_for()) break;
        next = earlier(next, state_->termination);
      }
      lock.unlock();
      for (Flight& flight : state_->flights) {
        if (flight.call->socket() < 0) step(flight);
      }
      wait(next);
      for (std::size_t i = 0; i < state_->flights.size(); ++i) {
        if (is_ready(i)) step(state_->flights[i]);
      }
      lock.lock();
      land();
    }
    for (Flight& flight : state_->flights) end(flight);
    state_->flights.clear();
    state_->ended = true;
    state_->done.notify_all();
  }

 private:
  bool nobody_is_waited_for() const noexcept {
    return std::all_of(state_->flights.begin(), state_->flights.end(), [](const Flight& flight) {
      return flight.target->overdue_ || flight.forgotten;
    });
  }
  Deadline end_of(const Flight& flight) const noexcept { return flight.since + state_->bound; }

  // Waits until a request may go on, or something has come.
  void wait(Deadline next) noexcept {
    try {
      polled_.clear();
      polled_.push_back({state_->wake.get(), POLLIN, 0});
      for (const Flight& flight : state_->flights) {
        const bool over = CancelCall::over(flight.progress);
        const int socket = over ? -1 : flight.call->socket();
        next = earlier(next, over ? Deadline::now() : end_of(flight));
        if (socket < 0) next = earlier(next, Deadline(kAgain));
        polled_.push_back({socket, flight.call->events(), 0});
      }
    } catch (const std::bad_alloc&) {
      polled_.clear();
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next.remaining());
    const int timeout = static_cast<int>(std::min<std::int64_t>(left.count(), 60'000));
    if (polled_.empty() || ::poll(polled_.data(), polled_.size(), timeout) < 0) {
      polled_.clear();
      std::this_thread::sleep_for(kAgain);
    }
    eventfd_t rings = 0;
    ::eventfd_read(state_->wake.get(), &rings);
  }
  // If nobody could be asked, every request counts as ready: a step too many does no harm.
  bool is_ready(std::size_t flight) const noexcept {
    return polled_.empty() || polled_[flight + 1].revents != 0;
  }

  // Counts a request before it is sent: its effect may be there before this thread goes on.
  void step(Flight& flight) noexcept {
    CancelTarget& target = *flight.target;
    CancelBooks& books = target.books();
    while (!CancelCall::over(flight.progress)) {
      const bool sends = flight.call->may_send();
      const bool anew =
          sends && (target.word_.fetch_or(CancelTarget::kSent) & CancelTarget::kSent) == 0;
      if (sends) {
        books.sent.fetch_add(1, std::memory_order_relaxed);
        target.sent_.fetch_add(1, std::memory_order_relaxed);
      }
      flight.progress = flight.call->step();
      if (sends && flight.progress != Progress::sent && flight.progress != Progress::delivered &&
          flight.progress != Progress::doubtful) {
        books.sent.fetch_sub(1, std::memory_order_relaxed);
        target.sent_.fetch_sub(1, std::memory_order_relaxed);
        if (anew) target.word_.fetch_and(~CancelTarget::kSent);
      }
      // A connection that is ready at once is used at once.
      if (sends || !flight.call->may_send()) break;
    }
  }

  // With the mutex: removes the requests that have ended, and those that have had their time.
  void land() noexcept {
    bool any = false;
    std::erase_if(state_->flights, [&](Flight& flight) {
      if (!CancelCall::over(flight.progress)) {
        if (!end_of(flight).passed()) return false;
        if (!flight.forgotten) State::count_stuck(*flight.target);
      }
      end(flight);
      flight.call.reset();  // before its target, whose key it may use: the next one is moved here
      any = true;
      return true;
    });
    if (any) state_->done.notify_all();
  }

  static void end(const Flight& flight) noexcept {
    CancelTarget& target = *flight.target;
    CancelBooks& books = target.books();
    --target.server_->on_their_way;
    if (flight.forgotten) return;
    switch (flight.progress) {
      case Progress::connecting:
      case Progress::not_sent:
        books.unsent.fetch_add(1, std::memory_order_relaxed);
        target.begun_.fetch_sub(1, std::memory_order_relaxed);
        break;
      case Progress::delivered: target.answered_.fetch_add(1, std::memory_order_relaxed); break;
      case Progress::doubtful:
        target.reset_.fetch_add(1, std::memory_order_relaxed);
        [[fallthrough]];
      case Progress::sent: {
        books.failed.fetch_add(1, std::memory_order_relaxed);
        const bool taken = flight.progress == Progress::doubtful && target.pooled();
        target.word_.fetch_or(taken ? CancelTarget::kTaken : CancelTarget::kDoubtful);
        break;
      }
    }
    target.word_.fetch_and(~CancelTarget::kSending);
  }

  const std::shared_ptr<State> state_;
  std::vector<pollfd> polled_{};
};

std::shared_ptr<Canceller> Canceller::shared() {
  // Never destroyed: pools of static lifetime may end after this file's statics would.
  struct Process {
    Process* parents = nullptr;
    detail::Mutex<> mutex{};
    std::weak_ptr<Canceller> current TIDEGATE_GUARDED_BY(mutex){};
  };
  static auto* process = new Process;
  // A child has neither the thread of the parent's canceller nor the thread that had locked the
  // mutex, so it takes a new canceller and never uses the parent's, which may not be whole.
  static const auto* const anew = new detail::ForkHook(
      [](void*) noexcept { process = new Process{.parents = process}; }, nullptr);
  static_cast<void>(anew);
  const detail::Lock lock(process->mutex);
  auto canceller = process->current.lock();
  if (!canceller) {
    canceller =
        std::make_shared<Canceller>([](const CancelTarget& target) { return target.call(); });
    process->current = canceller;
  }
  return canceller;
}

Canceller::Canceller(MakeCall make, std::chrono::milliseconds bound)
    : state_(std::make_shared<State>(std::move(make), bound)) {}

Canceller::~Canceller() {
  if (forks_ != detail::ForkHook::forks()) {
    // What the parent's thread was changing stays as it is.
    static_cast<void>(new std::shared_ptr<State>(std::move(state_)));
    return;
  }
  std::thread ended;
  {
    detail::Lock lock(state_->mutex);
    state_->stopping = true;
    state_->termination = Deadline(kTermination);
    for (const auto& target : state_->queue) target->word_.fetch_and(~CancelTarget::kQueued);
    state_->queue.clear();
    state_->ring();
    if (!state_->thread.joinable()) return;
    // Only libpq could keep the thread longer (LibpqCall).
    const bool in_time =
        state_->done.wait_for(lock.native(), kTermination + kStuck,
                              [this]() TIDEGATE_REQUIRES(state_->mutex) { return state_->ended; });
    in_time ? static_cast<void>(ended = std::move(state_->thread)) : state_->thread.detach();
  }
  if (ended.joinable()) ended.join();
}

Canceller::Asked Canceller::request(const std::shared_ptr<CancelTarget>& target) noexcept {
  const detail::Lock lock(state_->mutex);
  std::uint32_t word = target->word_.load();
  do {
    if ((word & CancelTarget::kRunning) == 0) return Asked::idle;
    if ((word & (CancelTarget::kQueued | CancelTarget::kSending)) != 0) return Asked::accepted;
  } while (!target->word_.compare_exchange_weak(word, word | CancelTarget::kQueued));
  bool queued = false;
  try {
    state_->queue.push_back(target);
    queued = true;
    if (!state_->wake) state_->wake = FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!state_->thread.joinable()) {
      if (!state_->wake) throw std::bad_alloc();
      state_->thread =
          detail::start_thread("tidegate-cancel", [state = state_] { Loop(state).run(); });
    }
  } catch (const std::exception&) {  // no memory, no thread, or no descriptor
    if (queued) state_->queue.pop_back();
    target->word_.fetch_and(~CancelTarget::kQueued);
    return Asked::no_thread;
  }
  state_->ring();
  return Asked::accepted;
}

void Canceller::withdraw(const CancelTarget& target) noexcept {
  const detail::Lock lock(state_->mutex);
  const auto found = std::find_if(state_->queue.begin(), state_->queue.end(),
                                  [&](const auto& queued) { return queued.get() == &target; });
  if (found == state_->queue.end()) return;
  (*found)->word_.fetch_and(~CancelTarget::kQueued);
  state_->queue.erase(found);
}

// With the mutex, so that no request ends meanwhile.
void Canceller::forget(CancelTarget& target) noexcept {
  const detail::Lock lock(state_->mutex);
  for (Flight& flight : state_->flights) {
    if (flight.target.get() == &target) flight.forgotten = true;
  }
  target.word_.fetch_and(~(CancelTarget::kSending | CancelTarget::kDoubtful));
  target.settle();
}

bool Canceller::wait(CancelTarget& target, Deadline deadline) noexcept {
  // A fiber does not sleep on a condition, but looks now and then.
  while (detail::Fiber::current() != nullptr && !deadline.passed() &&
         target.trace() == CancelTrace::pending) {
    short seen = 0;
    wait_for(-1, 0, -1, earlier(deadline, Deadline(kLookOnFiber)), seen);
  }
  detail::Lock lock(state_->mutex);
  const auto over = [&] { return target.trace() != CancelTrace::pending; };
  if (deadline.is_never()) {
    state_->done.wait(lock.native(), over);
  } else if (!state_->done.wait_until(lock.native(), deadline.at(), over)) {
    const bool sending = (target.word_.load() & CancelTarget::kSending) != 0;
    // A request that had its effect is forgotten, and is no fault of the server's.
    if (sending && !target.used_up()) State::count_stuck(target);
    return false;
  }
  return true;
}

void Canceller::give_up(const CancelBooks& books) noexcept {
  const detail::Lock lock(state_->mutex);
  state_->for_each_flight(books, [](const Flight& flight) {
    const bool runs = (flight.target->word_.load() & CancelTarget::kRunning) != 0;
    if (runs) State::count_stuck(*flight.target);
  });
}

std::vector<CancelGroup::Hanging> Canceller::hanging(const CancelBooks& books, Deadline deadline) {
  std::vector<CancelGroup::Hanging> requests;
  const auto none_hangs = [&]() TIDEGATE_REQUIRES(state_->mutex) {
    requests.clear();
    const long thread_id = state_->thread_id;
    state_->for_each_flight(books, [&](const Flight& flight) {
      if (!flight.target->overdue_) return;
      requests.push_back({.since = flight.since, .thread_id = thread_id});
    });
    return requests.empty();
  };
  detail::Lock lock(state_->mutex);
  state_->done.wait_until(lock.native(), deadline.at(), none_hangs);
  return requests;
}

}  // namespace tidegate::pq
