#include "support/proxy.hpp"

#include <utility>

#include <tidegate/base/thread.hpp>

#include "support/proxy_loop.hpp"

namespace tidegate::stress {

Proxy::Proxy(std::string host, std::string port)
    : loop_(std::make_unique<Loop>(*this, host, port)),
      thread_(detail::start_thread("fault-proxy", [this] { loop_->run(); })) {}

Proxy::~Proxy() {
  perform([](Loop& loop) { loop.end(); });
  thread_.join();
}

void Proxy::perform(std::function<void(Loop&)> command) { loop_->perform(command); }

void Proxy::set(Direction direction, const Faults& faults) {
  perform([&](Loop& loop) { loop.set(direction, faults); });
}
void Proxy::set(const Faults& both_ways) {
  perform([&](Loop& loop) {
    loop.set(Direction::to_server, both_ways);
    loop.set(Direction::to_client, both_ways);
  });
}
void Proxy::heal() {
  perform([](Loop& loop) {
    loop.set(Direction::to_server, {});
    loop.set(Direction::to_client, {});
    loop.refuse(false);
    loop.answer({});
    loop.delay_cancels({});
  });
}
void Proxy::refuse(bool on) {
  perform([on](Loop& loop) { loop.refuse(on); });
}
void Proxy::answer(std::string bytes) {
  perform([&](Loop& loop) { loop.answer(std::move(bytes)); });
}
void Proxy::delay_cancels(std::chrono::milliseconds time) {
  perform([time](Loop& loop) { loop.delay_cancels(time); });
}
void Proxy::reset_all() {
  perform([](Loop& loop) { loop.end_all(true); });
}
void Proxy::finish_all() {
  perform([](Loop& loop) { loop.end_all(false); });
}
void Proxy::forget_high_water() {
  perform([this](Loop&) { high_water_ = live_.load(); });
}

std::string error_response(std::string_view sqlstate, std::string_view text) {
  std::string body;
  const auto field = [&](char type, std::string_view value) {
    body += type;
    body += value;
    body += '\0';
  };
  field('S', "FATAL");
  field('V', "FATAL");
  field('C', sqlstate);
  field('M', text);
  body += '\0';
  const std::uint32_t size = htonl(static_cast<std::uint32_t>(body.size() + 4));
  return 'E' + std::string(reinterpret_cast<const char*>(&size), sizeof size) + body;
}

}  // namespace tidegate::stress
