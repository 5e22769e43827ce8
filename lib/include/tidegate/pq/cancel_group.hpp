// CancelGroup: what the connections of one user, a pool for example, share about their cancels.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/base/mutex.hpp>

namespace tidegate::pq {

class Canceller;
struct CancelBooks;

// A cancel request goes to the server on a connection of its own. The process's canceller thread
// handles all requests: it starts with the first request and stops when the last group that made
// one is gone. The thread waits for no server, looks up no name, and gives a request up after 5 s.
// A server that does not answer delays no request to another server: at most 16 requests of a group
// are on their way to one server, the rest wait. Any thread.
class TIDEGATE_API CancelGroup {
 public:
  static constexpr std::uint32_t kDefaultRate = 100;

  // At most `per_second` requests are sent within any second (0 counts as 1); others wait. `quiet`:
  // how long a connection is kept quiet after a cancel that was sent and has not had its effect,
  // since a pooler may say that it has taken a request before the request arrives. Unset: no quiet
  // where the peer is the server itself, or a pooler that gives out keys of its own (PgBouncer from
  // 1.18 on, Odyssey), unless the pooler resets the connection of the request; 250 ms where a key
  // of the server came through something else (pgagroal, Pgpool-II, a proxy).
  explicit CancelGroup(std::uint32_t per_second = kDefaultRate,
                       std::optional<std::chrono::milliseconds> quiet = std::nullopt);
  ~CancelGroup();
  CancelGroup(const CancelGroup&) = delete;
  CancelGroup& operator=(const CancelGroup&) = delete;

  // Requests that were sent to a server.
  std::uint64_t sent() const noexcept;
  // Of the sent requests: those that are not known to have arrived.
  std::uint64_t failed() const noexcept;
  // Requests that were not sent, because no server could be reached; none of them can arrive.
  std::uint64_t unsent() const noexcept;
  // Requests, sent or not, whose end somebody waited for in vain, or that were given up.
  std::uint64_t stuck() const noexcept;

  // A request that counts as stuck and is still on its way.
  struct Hanging {
    std::chrono::steady_clock::time_point since{};
    long thread_id = 0;  // of the canceller, which waits for none of them
  };
  // Stops waiting for requests that are under way and have not ended their statement: they count as
  // stuck.
  void give_up() noexcept;
  // Waits until no stuck request is under way any more; at the deadline returns those that are.
  // Throws: std::bad_alloc.
  std::vector<Hanging> hanging(Deadline deadline);

  // ---- For the session. ----------------------------------------------------------------------
  const std::shared_ptr<CancelBooks>& books() const noexcept { return books_; }
  // The process's canceller. The group keeps it from the first call on, until the group is gone.
  // Throws: std::bad_alloc.
  Canceller& canceller();

 private:
  std::shared_ptr<Canceller> used() noexcept;

  const std::shared_ptr<CancelBooks> books_;
  detail::Mutex<> mutex_;
  std::shared_ptr<Canceller> canceller_ TIDEGATE_GUARDED_BY(mutex_);
};

}  // namespace tidegate::pq
