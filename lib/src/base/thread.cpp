#include <tidegate/base/thread.hpp>

#include <pthread.h>
#include <signal.h>

#include <fstream>
#include <utility>

#include "base/printable.hpp"

namespace tidegate::detail {
namespace {

// A thread inherits the mask of its creator: block everything around the creation.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() noexcept {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~AllSignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

std::thread start_thread(const char* name, std::function<void()> body) {
  const AllSignalsBlocked blocked;
  return std::thread([name, body = std::move(body)] {
    ::pthread_setname_np(::pthread_self(), name);
    body();
  });
}

std::string thread_name(long thread_id) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread_id) + "/comm");
  std::string name;
  std::getline(file, name);
  return name;
}

std::string thread_text(std::string_view name, long id) {
  if (name.empty()) return "thread " + std::to_string(id);
  return std::string("thread \"").append(one_line(name)).append("\"");
}

}  // namespace tidegate::detail
