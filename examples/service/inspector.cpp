#include "inspector.hpp"

#include <exception>
#include <utility>

#include "inspector_page.hpp"
#include "threaded_server.hpp"

namespace service {
namespace {

using tidegate::NamedStats;

constexpr unsigned kThreads = 2;

std::string inside(const tidegate::Pool& pool, const EventFeed* feed) {
  std::string slots;
  for (const tidegate::SlotInfo& slot : pool.slots()) {
    slots += (slots.empty() ? "" : ",") + to_json(slot);
  }
  return "{\"counted\":" + to_json(NamedStats{pool.config().effective_name(), pool.stats()}) +
         ",\"health\":" + to_json(pool.health()) + ",\"slots\":[" + slots +
         "],\"events\":" + (feed != nullptr ? feed->to_json() : "[]") + "}\n";
}

}  // namespace

void EventFeed::add(const tidegate::LogEvent& event) {
  std::string json = tidegate::to_json(event);
  const std::lock_guard lock(mutex_);
  events_.push_back(std::move(json));
  if (events_.size() > kMost) events_.pop_front();
}

std::string EventFeed::to_json() const {
  std::string all;
  const std::lock_guard lock(mutex_);
  for (const std::string& event : events_) all += (all.empty() ? "" : ",") + event;
  return '[' + all + ']';
}

std::optional<HttpReply> look_inside(const tidegate::Pool& pool, const std::string& path,
                                     const EventFeed* feed) {
  if (path == "/metrics") {
    return HttpReply{.body = to_prometheus(pool.stats(), pool.config().effective_name()),
                     .type = "text/plain; version=0.0.4; charset=utf-8"};
  }
  if (path == "/debug/pool") {
    return HttpReply{.body = pool.debug_dump(), .type = "text/plain; charset=utf-8"};
  }
  if (path == "/debug/pool.json") return HttpReply{.body = inside(pool, feed)};
  if (path == "/debug/pool/ui" && feed != nullptr) {
    return HttpReply{.body = kInspectorPage, .type = "text/html; charset=utf-8"};
  }
  return {};
}

std::unique_ptr<HttpServer> make_inspector(const tidegate::Pool& pool, const EventFeed& feed) {
  return make_threaded_server(kThreads,
                              {.admit = [](const std::string&) {},
                               .handle = [&pool, &feed](const HttpRequest& request) -> HttpReply {
                                 try {
                                   if (request.method == "GET") {
                                     if (auto reply = look_inside(pool, request.path, &feed))
                                       return *reply;
                                   }
                                   return {404, "{\"error\":\"no such page\"}\n"};
                                 } catch (const std::exception&) {  // out of memory
                                   return {503, "{}\n"};
                                 }
                               }});
}

}  // namespace service
