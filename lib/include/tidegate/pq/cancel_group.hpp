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

// A cancel request goes to the server on a connection of its own, which the process's canceller
// thread sees to: that is started when the first request is made and stopped when the last group
// that made one is gone. It waits for no server, looks up no name, and gives a request up after 5
// s. A server that does not answer delays the requests to no other one: 16 of a group are on their
// way to it at most, the rest of these waits. Any thread.
class TIDEGATE_API CancelGroup {
 public:
  static constexpr std::uint32_t kDefaultRate = 100;

  // At most `per_second` requests are sent within any second (0 counts as 1); others wait. `quiet`:
  // for how long a connection is quiet after a cancel that was sent to it and has not had its
  // effect, since one that a pooler has taken may arrive after it says so. Unset: none where the
  // server itself is the peer, or one that gives out keys of its own (PgBouncer from 1.18 on,
  // Odyssey), unless that resets the connection of the request; 250 ms where a key of the server
  // came through something else (pgagroal, Pgpool-II, a proxy).
  explicit CancelGroup(std::uint32_t per_second = kDefaultRate,
                       std::optional<std::chrono::milliseconds> quiet = std::nullopt);
  ~CancelGroup();
  CancelGroup(const CancelGroup&) = delete;
  CancelGroup& operator=(const CancelGroup&) = delete;

  // Requests that were sent to a server.
  std::uint64_t sent() const noexcept;
  // Of those: it is not known that they have arrived.
  std::uint64_t failed() const noexcept;
  // Requests that were not sent, because no server could be reached; nothing of them can arrive.
  std::uint64_t unsent() const noexcept;
  // Requests, sent or not, whose end somebody waited for in vain, or that were given up.
  std::uint64_t stuck() const noexcept;

  // A request that counts as stuck and is still on its way.
  struct Hanging {
    std::chrono::steady_clock::time_point since{};
    long thread_id = 0;  // of the canceller, which waits for none of them
  };
  // Requests that are under way and have not ended their statement are waited for no longer: they
  // count as stuck.
  void give_up() noexcept;
  // Returns when no stuck request is under way any more, or at the deadline with those that are.
  // Throws: std::bad_alloc.
  std::vector<Hanging> hanging(Deadline deadline);

  // ---- For the session. ----------------------------------------------------------------------
  const std::shared_ptr<CancelBooks>& books() const noexcept { return books_; }
  // The process's canceller, from the first call on kept until the group is gone.
  // Throws: std::bad_alloc.
  Canceller& canceller();

 private:
  std::shared_ptr<Canceller> used() noexcept;

  const std::shared_ptr<CancelBooks> books_;
  detail::Mutex<> mutex_;
  std::shared_ptr<Canceller> canceller_ TIDEGATE_GUARDED_BY(mutex_);
};

}  // namespace tidegate::pq
