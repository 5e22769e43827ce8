#include "support/factory.hpp"

#include <condition_variable>
#include <stdexcept>
#include <thread>

#include "support/ledger.hpp"

namespace tidegate::stress {

Expected<Thing> Factory::make(const std::stop_token& stop, Deadline deadline) {
  ledger_.making();
  // The n-th making of a seed meets the same weather, whichever thread it runs on.
  Random random = Random::stream(seed_, makings_.fetch_add(1, std::memory_order_relaxed));
  if (random.chance(weather_.slow, 100) && !take_time(random, stop, deadline)) {
    return fail(Errc::canceled);
  }
  if (is_rejecting(random)) return fail(Errc::rejected);
  if (random.chance(weather_.unavailable, 100)) return fail(Errc::unavailable);
  if (random.chance(weather_.throwing, 100)) {
    ledger_.not_made(Errc::unavailable);  // which is how the pool takes it
    throw std::runtime_error("the factory throws");
  }
  return Thing(ledger_.made());
}

// False: stopped.
bool Factory::take_time(Random& random, const std::stop_token& stop, Deadline deadline) {
  const Deadline end = earlier(deadline, Deadline(random.up_to(weather_.slowest)));
  if (random.chance(weather_.deaf, 100)) {
    std::this_thread::sleep_for(end.remaining());
    return true;
  }
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_until(lock, stop, end.at(), [] { return false; });
  return !stop.stop_requested();
}

bool Factory::is_rejecting(Random& random) {
  if (weather_.rejected == 0) return false;
  const auto now = std::chrono::steady_clock::now();
  std::lock_guard lock(mutex_);
  if (random.chance(weather_.rejected, 100)) rejecting_until_ = now + weather_.rejected_for;
  return now < rejecting_until_;
}

Expected<Thing> Factory::fail(Errc why) {
  ledger_.not_made(why);
  return ErrorValue::of(Error(why, "the factory's weather"));
}

}  // namespace tidegate::stress
