#include "status.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include <tidegate/base/duration.hpp>

#include "pause.hpp"

namespace service {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// How fast a count grows.
class Rate {
 public:
  double take(std::uint64_t count, Clock::time_point now) {
    const double seconds = std::chrono::duration<double>(now - at_).count();
    const double rate = seconds > 0 ? static_cast<double>(count - before_) / seconds : 0;
    before_ = count;
    at_ = now;
    return rate;
  }

 private:
  std::uint64_t before_ = 0;
  Clock::time_point at_ = Clock::now();
};

}  // namespace

void show_status(const tidegate::Pool& pool, Tally& tally, std::chrono::seconds duration,
                 const std::stop_token& stop) {
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  const auto end = Clock::now() + duration;
  Rate queries;
  Rate requests;
  while (!stop.stop_requested() && Clock::now() < end) {
    pause(stop, std::chrono::ceil<std::chrono::milliseconds>(
                    std::min<Clock::duration>(end - Clock::now(), 1s)));
    const auto now = Clock::now();
    const tidegate::Stats stats = pool.stats();
    const auto wait = tally.waits.take();
    std::printf(
        "%s%8.0f queries/s   used %u/%u  idle %u  waiting %2u   wait p50 %s  p99 %s"
        "   %.0f requests/s%s",
        terminal ? "\r\x1b[K" : "", queries.take(tally.queries, now), stats.leased, stats.max,
        stats.idle, stats.waiting, tidegate::brief_duration(wait.p50).c_str(),
        tidegate::brief_duration(wait.p99).c_str(), requests.take(tally.requests, now),
        terminal ? "" : "\n");
    std::fflush(stdout);
  }
  if (terminal) std::printf("\n");
}

}  // namespace service
