// Inspector: the pool on a page for people, and what it says for programs. None of it takes a
// connection of the pool or waits for a lease, so it works while the pool is exhausted or closed.
//
//   GET /metrics          what Prometheus scrapes
//   GET /debug/pool       for people at a terminal
//   GET /debug/pool.json  for programs, and for the page
//   GET /debug/pool/ui    the page
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <tidegate/tidegate.hpp>

#include "http_server.hpp"

namespace service {

// The last events of a pool. All members from any thread.
class EventFeed {
 public:
  void add(const tidegate::LogEvent& event);
  std::string to_json() const;  // a list, the oldest first

 private:
  static constexpr std::size_t kMost = 100;

  mutable std::mutex mutex_;
  std::deque<std::string> events_;  // JSON
};

// The pages above; none: it is another page. Without `feed` there is no page for people to look at.
std::optional<HttpReply> look_inside(const tidegate::Pool& pool, const std::string& path,
                                     const EventFeed* feed = nullptr);

// A server of its own for them, which others' requests do not hold up. Needs: both outlive it.
std::unique_ptr<HttpServer> make_inspector(const tidegate::Pool& pool, const EventFeed& feed);

}  // namespace service
