#include "support/stuck_calls.hpp"

#include <dlfcn.h>
#include <libpq-fe.h>

#include <condition_variable>
#include <mutex>

namespace tidegate::test {
namespace {

struct StuckState {
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

StuckState& stuck_state() {
  static StuckState the_state;
  return the_state;
}

void stay_if_stuck(LibpqCall call) {
  std::unique_lock lock(stuck_state().mutex);
  if (!stuck_state().on || stuck_state().call != call || stuck_state().left == 0) return;
  --stuck_state().left;
  ++stuck_state().inside;
  ++stuck_state().so_far;
  stuck_state().changed.wait(lock, [] { return !stuck_state().on; });
  --stuck_state().inside;
  stuck_state().changed.notify_all();
}

}  // namespace

StuckCalls::StuckCalls(LibpqCall call, int how_many) {
  std::lock_guard lock(stuck_state().mutex);
  stuck_state().on = true;
  stuck_state().call = call;
  stuck_state().left = how_many;
  stuck_state().so_far = 0;
}

StuckCalls::~StuckCalls() {
  std::unique_lock lock(stuck_state().mutex);
  stuck_state().on = false;
  stuck_state().changed.notify_all();
  stuck_state().changed.wait(lock, [] { return stuck_state().inside == 0; });
}

int StuckCalls::inside() const {
  std::lock_guard lock(stuck_state().mutex);
  return stuck_state().inside;
}
int StuckCalls::so_far() const {
  std::lock_guard lock(stuck_state().mutex);
  return stuck_state().so_far;
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
