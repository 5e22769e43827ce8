#include "support/stuck_calls.hpp"

#include <dlfcn.h>
#include <libpq-fe.h>

#include <condition_variable>
#include <mutex>

namespace tidegate::test {
namespace {

struct State {
  std::mutex mutex;
  std::condition_variable changed;
  bool on = false;
  LibpqCall call{};
  int left = 0;
  int inside = 0;
  int so_far = 0;
};
// Within PQconnectStartParams(), which polls once by itself.
thread_local bool starting = false;

State& state() {
  static State the_state;
  return the_state;
}

void stay_if_stuck(LibpqCall call) {
  std::unique_lock lock(state().mutex);
  if (!state().on || state().call != call || state().left == 0) return;
  --state().left;
  ++state().inside;
  ++state().so_far;
  state().changed.wait(lock, [] { return !state().on; });
  --state().inside;
  state().changed.notify_all();
}

}  // namespace

StuckCalls::StuckCalls(LibpqCall call, int how_many) {
  std::lock_guard lock(state().mutex);
  state().on = true;
  state().call = call;
  state().left = how_many;
  state().so_far = 0;
}

StuckCalls::~StuckCalls() {
  std::unique_lock lock(state().mutex);
  state().on = false;
  state().changed.notify_all();
  state().changed.wait(lock, [] { return state().inside == 0; });
}

int StuckCalls::inside() const {
  std::lock_guard lock(state().mutex);
  return state().inside;
}
int StuckCalls::so_far() const {
  std::lock_guard lock(state().mutex);
  return state().so_far;
}

}  // namespace tidegate::test

// Defined here, they come before libpq's for the whole program.
extern "C" PGconn* PQconnectStartParams(const char* const* keywords, const char* const* values,
                                        int expand_dbname) {
  using Function = PGconn* (*)(const char* const*, const char* const*, int);
  static const auto next = reinterpret_cast<Function>(::dlsym(RTLD_NEXT, "PQconnectStartParams"));
  tidegate::test::stay_if_stuck(tidegate::test::LibpqCall::connect_start);
  tidegate::test::starting = true;
  PGconn* const connection = next(keywords, values, expand_dbname);
  tidegate::test::starting = false;
  return connection;
}

extern "C" PostgresPollingStatusType PQconnectPoll(PGconn* connection) {
  using Function = PostgresPollingStatusType (*)(PGconn*);
  static const auto next = reinterpret_cast<Function>(::dlsym(RTLD_NEXT, "PQconnectPoll"));
  if (!tidegate::test::starting) {
    tidegate::test::stay_if_stuck(tidegate::test::LibpqCall::connect_poll);
  }
  return next(connection);
}
