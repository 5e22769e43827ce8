// CancelTarget: one session as the canceller sees it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <tidegate/base/mutex.hpp>
#include <tidegate/pq/session_state.hpp>

#include "pq/cancel/cancel_call.hpp"
#include "pq/cancel/cancel_key.hpp"

namespace tidegate::pq {

struct CancelServer;

// What a CancelGroup counts. Requests that are under way may outlive the group.
struct CancelBooks {
  explicit CancelBooks(std::uint32_t rate, std::optional<std::chrono::milliseconds> how_long = {})
      : per_second(rate > 0 ? rate : 1), quiet(how_long) {}

  const std::uint32_t per_second;
  const std::optional<std::chrono::milliseconds> quiet;  // not negative, some hours at most
  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> unsent{0};
  std::atomic<std::uint64_t> failed{0};
  std::atomic<std::uint64_t> stuck{0};
  // When the requests of the last second were begun. Guarded by the canceller's mutex.
  std::deque<std::chrono::steady_clock::time_point> recent{};
  detail::Mutex<> mutex{};
  std::vector<std::weak_ptr<CancelServer>> servers TIDEGATE_GUARDED_BY(mutex){};
};

// A server as one group sees it; its sessions share it.
struct CancelServer {
  CancelServer(std::shared_ptr<CancelBooks> group, std::string at) noexcept
      : books(std::move(group)), address(std::move(at)) {}

  // The server at that address (server_address()). Throws: std::bad_alloc.
  static std::shared_ptr<CancelServer> at(const std::shared_ptr<CancelBooks>& books,
                                          std::string address);

  const std::shared_ptr<CancelBooks> books;
  const std::string address;
  unsigned on_their_way = 0;  // requests; guarded by the canceller's mutex
};

// One session as the canceller sees it: how to reach it, and what it was sent.
//
// The state is one word, so that "a statement runs" and "cancel it" cannot miss each other: a
// request is only made while the running bit is set, and whoever clears the bit sees in the same
// step whether there was a request.
class CancelTarget {
 public:
  // `pooled`: the key is a pooler's. Some poolers reset the connection of a request when the
  // request has been carried out.
  CancelTarget(std::shared_ptr<CancelServer> server, CancelKey key, bool pooled) noexcept
      : server_(std::move(server)), key_(std::move(key)), pooled_(pooled) {}

  // The session's thread, around each statement.
  void begin_statement() noexcept { word_.fetch_or(kRunning); }
  // True when a request was made since the last settle(): look at trace().
  bool end_statement() noexcept { return (word_.fetch_and(~kRunning) & ~kRunning) != 0; }
  // Any thread.
  CancelTrace trace() const noexcept;
  CancelTally tally() const noexcept;
  // The session's thread: how far the requests made since mark() have come. The one that came
  // furthest counts.
  enum class Reached : std::uint8_t {
    nothing,   // none was sent, or none yet
    sent,      // the server has not said that it has taken one
    reset,     // the connection of one has ended, but not as after its part is done
    answered,  // the server has closed the connection of one: its part is done
  };
  void mark() noexcept;
  Reached reached() const noexcept;
  // A request was sent, or will be.
  bool asked() const noexcept { return (word_.load() & ~kRunning) != 0; }
  // What was sent is over. Does nothing while a request is under way, or doubtful.
  void settle() noexcept;
  // The session's thread, without a statement under way: all requests have arrived, since the
  // server has said of as many statements that they were canceled on request. They are as good as
  // over: PostgreSQL sends its process the signal of one request twice, to it and to its group, and
  // the second signal may strike what comes next.
  bool used_up() const noexcept;
  // The session's thread: the server says that it has canceled what ran; `on_request`: because a
  // request asked it to.
  void note_canceled(bool on_request) noexcept;

  std::unique_ptr<CancelCall> call() const { return make_cancel_call(server_->address, key_); }
  bool pooled() const noexcept { return pooled_; }
  std::optional<std::chrono::milliseconds> quiet() const noexcept { return server_->books->quiet; }

 private:
  friend class Canceller;
  static constexpr std::uint32_t kRunning = 1;
  static constexpr std::uint32_t kQueued = 2;     // a request waits for its turn
  static constexpr std::uint32_t kSending = 4;    // one is on its way
  static constexpr std::uint32_t kSent = 8;       // one was sent
  static constexpr std::uint32_t kDoubtful = 16;  // one that was sent may arrive at any time
  static constexpr std::uint32_t kTaken = 32;     // the connection of one was reset, by a pooler

  CancelBooks& books() const noexcept { return *server_->books; }

  // A pool has one for each of its connections (E7): small, and the small members together.
  const std::shared_ptr<CancelServer> server_;
  const CancelKey key_;
  // The default order costs nothing here: two read-modify-writes per statement, by its own thread.
  std::atomic<std::uint32_t> word_{0};
  // Relaxed: only for reports. These counters may wrap to 0; only differences mean something.
  std::atomic<std::uint8_t> sent_{0};
  std::atomic<std::uint8_t> answered_{0};
  std::atomic<std::uint8_t> reset_{0};
  std::atomic<std::uint8_t> canceled_{0};
  // Requests begun and not known to have reached nobody. Changed under the canceller's mutex.
  std::atomic<std::uint8_t> begun_{0};
  // Used by the session's thread only.
  std::uint8_t sent_before_ = 0;
  std::uint8_t answered_before_ = 0;
  std::uint8_t reset_before_ = 0;
  std::uint8_t begun_settled_ = 0;  // at the last settle()
  std::uint8_t struck_ = 0;         // statements canceled on request since then
  const bool pooled_;
  // Guarded by the canceller's mutex.
  bool overdue_ = false;  // the request on its way was counted as stuck
};

}  // namespace tidegate::pq
