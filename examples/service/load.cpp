#include "load.hpp"

#include <httplib.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <string>

#include "pause.hpp"
#include "shop.hpp"

namespace service {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kProbePeriod = 20ms;
// Thousands of clients that try again at once are a load of their own: each waits longer each time.
constexpr std::chrono::milliseconds kFirstRetry = 20ms;
constexpr std::chrono::milliseconds kLongestRetry = 1000ms;

// One client with a connection of its own, and how its requests end.
class Client {
 public:
  Client(const HttpServer& server, Ledger& ledger, Tally& tally, bool keep_alive)
      : server_(server), ledger_(ledger), tally_(tally), http_("127.0.0.1", server.port()) {
    http_.set_keep_alive(keep_alive);
    http_.set_tcp_nodelay(true);
    http_.set_read_timeout(60s);  // as long as the service may wait for a connection, and more
  }

  // The Location, if any, of a good answer; nothing of another. `also_good`: a status besides 2xx.
  std::optional<std::string> ask(const char* method, const std::string& path, int also_good = 0) {
    const Ledger::Id id = ledger_.next();
    httplib::Request request;
    request.method = method;
    request.path = path;
    request.headers = {{"X-Request-Id", std::to_string(id)}};
    const httplib::Result result = http_.send(request);
    if (result && (result->status / 100 == 2 || result->status == also_good)) {
      ledger_.answered(id);
      ++tally_.requests;
      return result->get_header_value("Location");
    }
    if (!result && !server_.accepting()) {
      ++tally_.turned_away;
    } else {
      ledger_.admit(id);  // it should have been
      tally_.request_failures.add(std::string(method) + ' ' + path + ": " +
                                  (result ? "status " + std::to_string(result->status)
                                          : httplib::to_string(result.error())));
    }
    return {};
  }

 private:
  const HttpServer& server_;
  Ledger& ledger_;
  Tally& tally_;
  httplib::Client http_;
};

}  // namespace

LoadGenerator::LoadGenerator(unsigned clients, const HttpServer& server, Ledger& ledger,
                             Tally& tally)
    : server_(server), ledger_(ledger), tally_(tally) {
  for (unsigned i = 0; i < clients; ++i) {
    threads_.emplace_back([this, i](const std::stop_token& stop) { order(i + 1, stop); });
  }
  threads_.emplace_back([this](const std::stop_token& stop) { probe(stop); });
}

void LoadGenerator::stop() {
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();
}

void LoadGenerator::order(unsigned seed, const std::stop_token& stop) {
  ::pthread_setname_np(::pthread_self(), "client");
  Client client(server_, ledger_, tally_, true);
  std::minstd_rand random(seed);
  std::uniform_int_distribution<int> any_product(1, Shop::kProducts);
  std::chrono::milliseconds retry = kFirstRetry;
  while (!stop.stop_requested()) {
    const int product = any_product(random);
    const auto created = client.ask("POST", "/orders?product=" + std::to_string(product) +
                                                "&quantity=" + std::to_string(1 + product % 3));
    if (created) {
      ++tally_.acknowledged;
      client.ask("GET", *created);
      retry = kFirstRetry;
    } else {
      pause(stop, retry);
      retry = std::min(2 * retry, kLongestRetry);
    }
  }
}

void LoadGenerator::probe(const std::stop_token& stop) {
  ::pthread_setname_np(::pthread_self(), "balancer");
  Client client(server_, ledger_, tally_, false);
  for (; !stop.stop_requested(); pause(stop, kProbePeriod)) {
    client.ask("GET", "/healthz");
    client.ask("GET", "/readyz", 503);
  }
}

}  // namespace service
