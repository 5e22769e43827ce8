// The seam without Asio: an event loop of sixty lines on epoll, and the same pool.
#include <tidegate/async.hpp>
#include <tidegate/tidegate.hpp>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <deque>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

using tidegate::Deadline;
using tidegate::async::Acquire;
using tidegate::async::Call;

class Loop {
 public:
  Loop() : epoll_(::epoll_create1(0)), wake_(::eventfd(0, EFD_NONBLOCK)) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = wake_}};
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event);
  }
  ~Loop() {
    ::close(wake_);
    ::close(epoll_);
  }
  // From any thread.
  void post(std::function<void()> task) {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    ::eventfd_write(wake_, 1);
  }
  // Goes on with `call` when what it waits for has come, and does `over` when it has ended.
  void wait(Call& call, std::function<void()> over) {
    const Call::Wait wait = call.wait();
    epoll_event event{.events = static_cast<std::uint32_t>(wait.events) | EPOLLONESHOT,
                      .data = {.fd = wait.fd}};  // poll's bits are epoll's
    if (::epoll_ctl(epoll_, EPOLL_CTL_MOD, wait.fd, &event) != 0) {
      ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wait.fd, &event);
    }
    waiting_[wait.fd] = {&call, std::move(over)};
  }
  void run(const std::function<bool()>& done) {
    while (!done()) {
      Deadline next = Deadline::never();
      for (const auto& [fd, one] : waiting_) next = earlier(next, one.call->wait().until);
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(next.remaining()).count();
      epoll_event events[16];
      const int n =
          ::epoll_wait(epoll_, events, 16, static_cast<int>(std::min<std::int64_t>(left, 1000)));
      for (int i = 0; i < n; ++i) {
        if (events[i].data.fd == wake_) {
          run_tasks();
        } else {
          go_on(events[i].data.fd, Call::Came::ready, static_cast<short>(events[i].events));
        }
      }
      std::vector<int> late;
      for (const auto& [fd, one] : waiting_) {
        if (one.call->wait().until.passed()) late.push_back(fd);
      }
      for (const int fd : late) go_on(fd, Call::Came::timed_out, 0);
    }
  }

 private:
  struct Waiting {
    Call* call;
    std::function<void()> over;
  };
  void run_tasks() {
    eventfd_t count = 0;
    ::eventfd_read(wake_, &count);
    std::deque<std::function<void()>> tasks;
    {
      const std::lock_guard lock(mutex_);
      tasks.swap(tasks_);
    }
    for (const auto& task : tasks) task();
  }
  void go_on(int fd, Call::Came came, short events) {
    Waiting one = std::move(waiting_.at(fd));
    waiting_.erase(fd);
    if (one.call->resume(came, events)) return wait(*one.call, std::move(one.over));
    one.over();
  }

  int epoll_;
  int wake_;
  std::map<int, Waiting> waiting_{};
  std::mutex mutex_{};
  std::deque<std::function<void()>> tasks_{};
};

// One job: takes a connection, runs a statement on it, gives it back. Never blocks.
class Job {
 public:
  Job(Loop& loop, tidegate::Pool& pool, int number, std::function<void(int)> done)
      : loop_(loop), acquire_(pool), number_(number), done_(std::move(done)) {}
  void start() {
    acquired(acquire_.begin(
        [](void* self) noexcept {  // on the thread that gave the connection back
          auto* job = static_cast<Job*>(self);
          job->loop_.post([job] { job->acquired(job->acquire_.go_on()); });
        },
        this));
  }

 private:
  void acquired(Acquire::Ended ended) {
    if (!ended) return;  // it waits
    lease_ = std::move(*ended).value();
    call_.emplace(body_);
    if (call_->run()) return loop_.wait(*call_, [this] { over(); });
    over();
  }
  void over() {
    lease_.release();
    done_(square_);
  }

  Loop& loop_;
  Acquire acquire_;
  tidegate::Lease lease_{};
  int number_;
  int square_ = 0;
  std::function<void(int)> done_;
  std::function<void()> body_ = [this] {
    square_ = lease_->query_value<int>("select $1::int4 * $1::int4", number_);
  };
  std::optional<Call> call_{};
};

int main() {
  tidegate::Pool pool{"pool_max_conns=4"};
  Loop loop;
  int sum = 0;
  int left = 100;
  std::vector<std::unique_ptr<Job>> jobs;
  for (int i = 1; i <= 100; ++i) {
    jobs.push_back(std::make_unique<Job>(loop, pool, i, [&](int square) {
      sum += square;
      --left;
    }));
    jobs.back()->start();
  }
  loop.run([&] { return left == 0; });
  std::cout << "the sum of the first hundred squares is " << sum << '\n';
  return sum == 338350 ? 0 : 1;
}
