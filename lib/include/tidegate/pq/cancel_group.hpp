// CancelGroup: what the connections of one user, a pool for example, share about their cancels.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/export.hpp>

namespace tidegate::pq {

class Canceller;
struct CancelBooks;

// A cancel request goes to the server on a connection of its own, made by one of the process's
// canceller threads. Those are started when the first request is made and stopped when the last
// group that made one is gone. Any thread.
class TIDEGATE_API CancelGroup {
 public:
  static constexpr std::uint32_t kDefaultRate = 100;

  // At most `per_second` requests are sent within any second (0 counts as 1); others wait.
  explicit CancelGroup(std::uint32_t per_second = kDefaultRate);
  ~CancelGroup();
  CancelGroup(const CancelGroup&) = delete;
  CancelGroup& operator=(const CancelGroup&) = delete;

  std::uint64_t sent() const noexcept;
  // Of those: it is not known that they have arrived.
  std::uint64_t failed() const noexcept;
  // Of those: somebody waited for the end of the request in vain.
  std::uint64_t stuck() const noexcept;

  // A request that counts as stuck, and whose thread is still at it.
  struct Hanging {
    std::chrono::steady_clock::time_point since{};
    long thread_id = 0;
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
  std::mutex mutex_;
  std::shared_ptr<Canceller> canceller_;  // mutex_
};

}  // namespace tidegate::pq
