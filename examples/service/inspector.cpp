#include "inspector.hpp"

#include <chrono>
#include <ctime>
#include <utility>

#include "inspector_page.hpp"
#include "threaded_server.hpp"

namespace service {
namespace {

constexpr unsigned kThreads = 2;

// 2026-12-01T03:28:01.123Z
std::string utc_now() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char day[32];
  const std::size_t length = std::strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts);
  const auto millis =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  return std::string(day, length) + '.' + std::to_string(1000 + millis).substr(1) + 'Z';
}

// The library's texts have no control characters but newlines, and are UTF-8.
std::string quoted(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') json += '\\';
    json += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return json + '"';
}

std::string inside(const tidegate::Pool& pool, const EventFeed* feed) {
  std::string slots;
  for (const tidegate::SlotInfo& slot : pool.slots()) {
    slots += (slots.empty() ? "" : ",") + to_json(slot);
  }
  return "{\"pool\":" + quoted(pool.config().effective_name()) +
         ",\"health\":" + to_json(pool.health()) + ",\"stats\":" + to_json(pool.stats()) +
         ",\"slots\":[" + slots + "],\"events\":" + (feed != nullptr ? feed->to_json() : "[]") +
         "}\n";
}

}  // namespace

void EventFeed::add(const tidegate::LogEvent& event) {
  std::string json = "{\"at\":" + quoted(utc_now()) +
                     ",\"level\":" + quoted(to_string(event.level)) +
                     ",\"code\":" + quoted(event.code) + ",\"text\":" + quoted(event.text) +
                     ",\"held_back\":" + std::to_string(event.held_back) + "}";
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
