#include "support/stuck_look_ups.hpp"

#include <dlfcn.h>
#include <netdb.h>

#include <condition_variable>
#include <mutex>
#include <utility>

namespace tidegate::test {
namespace {

struct State {
  std::mutex mutex;
  std::condition_variable changed;
  std::string host;  // empty: none is stuck
  int inside = 0;
};
State& state() {
  static State the_state;
  return the_state;
}

}  // namespace

StuckLookUps::StuckLookUps(std::string host) {
  std::lock_guard lock(state().mutex);
  state().host = std::move(host);
}

StuckLookUps::~StuckLookUps() {
  std::unique_lock lock(state().mutex);
  state().host.clear();
  state().changed.notify_all();
  state().changed.wait(lock, [] { return state().inside == 0; });
}

void StuckLookUps::await_one() {
  std::unique_lock lock(state().mutex);
  state().changed.wait(lock, [] { return state().inside > 0; });
}

// True: it was stuck until now.
static bool is_stuck(const char* host) {
  std::unique_lock lock(state().mutex);
  if (host == nullptr || state().host.empty() || state().host != host) return false;
  ++state().inside;
  state().changed.notify_all();
  state().changed.wait(lock, [host] { return state().host != host; });
  --state().inside;
  state().changed.notify_all();
  return true;
}

}  // namespace tidegate::test

// Defined here, it comes before the C library's for the whole program.
extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* hints,
                           addrinfo** result) {
  using Function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static const auto next = reinterpret_cast<Function>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  if (tidegate::test::is_stuck(host)) return EAI_AGAIN;
  return next(host, service, hints, result);
}
