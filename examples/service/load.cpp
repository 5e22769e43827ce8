#include "load.hpp"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <string>

#include "http_client.hpp"
#include "pause.hpp"
#include "shop.hpp"

namespace service {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kProbePeriod = 20ms;
// As long as the service may wait for a connection, and more.
constexpr std::chrono::milliseconds kAnswersWithin = 60s;
// Thousands of clients that try again at once are a load of their own: each waits longer each time.
constexpr std::chrono::milliseconds kFirstRetry = 20ms;
constexpr std::chrono::milliseconds kLongestRetry = 1000ms;

// One client with a connection of its own, and how its requests end.
class Client {
 public:
  Client(const HttpServer& server, Ledger& ledger, Tally& tally, bool keep_alive)
      : server_(server),
        ledger_(ledger),
        tally_(tally),
        http_(server.port(), keep_alive, kAnswersWithin) {}

  // The Location, if any, of a good answer; nothing of another. `also_good`: a status besides 2xx.
  std::optional<std::string> ask(const char* method, const std::string& path, int also_good = 0) {
    const Ledger::Id id = ledger_.next();
    const HttpClient::Answer answer = http_.ask(method, path, std::to_string(id));
    if (answer.status / 100 == 2 || (also_good != 0 && answer.status == also_good)) {
      ledger_.answered(id);
      ++tally_.requests;
      return answer.location;
    }
    if (answer.status == 0 && !server_.accepting()) {
      ++tally_.turned_away;
    } else {
      ledger_.admit(id);  // it should have been
      tally_.request_failures.add(
          std::string(method) + ' ' + path + ": " +
          (answer.status != 0 ? "status " + std::to_string(answer.status) : answer.failure));
    }
    return {};
  }

 private:
  const HttpServer& server_;
  Ledger& ledger_;
  Tally& tally_;
  HttpClient http_;
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
