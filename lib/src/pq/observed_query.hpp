// ObservedQuery: what a QueryObserver is told of one verb after the other.
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <tidegate/base/error.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/pq/query_observer.hpp>

struct pg_result;  // libpq's PGresult

namespace tidegate {
struct QueryReport;
}

namespace tidegate::pq {

// For one thread at a time, that of the verb. begin(), then start() or not, then end(); end()
// without a begin() does nothing. The buffer of the text is kept from call to call.
class ObservedQuery {
 public:
  // Of the session, for all its verbs. `on_lane`: of none that is known.
  struct Session {
    int backend_pid = 0;
    bool on_lane = false;
    std::string database{};
    std::string host{};
    std::string port{};
  };
  ObservedQuery(std::shared_ptr<QueryObserver> observer, Session session) noexcept
      : observer_(std::move(observer)),
        session_(std::move(session)),
        wants_values_(observer_->wants_values()) {}

  // A verb begins. False where one is under way: some verbs run several statements.
  // Throws: std::bad_alloc.
  bool begin(QueryKind kind, std::string_view text, Location where, std::size_t statements = 1);
  // The lease that the verb runs in.
  void in(Location acquired) noexcept { event_.acquired = acquired; }
  void start(const Params* params) noexcept;
  void end() noexcept;

  void sent(std::uint32_t times = 1) noexcept { end_.sent += times; }
  // Counts the rows of a result; nothing if it is an error.
  void answered(pg_result* result) noexcept;
  void add(std::uint64_t rows, std::uint64_t bytes) noexcept {
    end_.rows += rows;
    end_.bytes += bytes;
  }
  void copied(std::size_t bytes) noexcept { end_.bytes += bytes; }
  // It is run once more: what has come does not count.
  void again() noexcept {
    end_.rows = end_.bytes = 0;
    end_.failed = false;
  }
  // An exception begins; or (`told`) the verb has failed without one. Only the last counts, and
  // only if the verb does end with an exception.
  void fail(Errc error, const QueryReport* report, bool told = false) noexcept;
  // What was noted was no failure of the verb's own: it had given up before that.
  void excuse() noexcept { end_.error.reset(); }
  void moved() noexcept { end_.moved = true; }

 private:
  using Clock = std::chrono::steady_clock;

  const std::shared_ptr<QueryObserver> observer_;
  const Session session_;
  const bool wants_values_;
  bool begun_ = false;
  bool started_ = false;
  int uncaught_ = 0;  // exceptions that were on their way when the verb began
  std::string text_{};
  std::string sqlstate_{};  // five characters: no allocation
  Clock::time_point began_{};
  QueryStarted event_{};
  QueryEnded end_{};
  void* started_as_ = nullptr;
};

}  // namespace tidegate::pq
