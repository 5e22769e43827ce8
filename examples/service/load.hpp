// LoadGenerator: clients that order as fast as they are answered, and a balancer that probes.
#pragma once

#include <stop_token>
#include <thread>
#include <vector>

#include "http_server.hpp"
#include "ledger.hpp"
#include "tally.hpp"

namespace service {

// Every client counts how its requests ended:
//   answered     with 2xx
//   turned away  no answer, and the server was taking no more: another instance would be asked now
//   failed       everything else. A request that the server had begun to read counts as failed
//                without a good answer, whenever it was.
class LoadGenerator {
 public:
  LoadGenerator(unsigned clients, const HttpServer& server, Ledger& ledger, Tally& tally);
  ~LoadGenerator() { stop(); }
  LoadGenerator(const LoadGenerator&) = delete;
  LoadGenerator& operator=(const LoadGenerator&) = delete;

  // Returns when each has the end of its last request.
  void stop();

 private:
  void order(unsigned seed, const std::stop_token& stop);
  void probe(const std::stop_token& stop);

  const HttpServer& server_;
  Ledger& ledger_;
  Tally& tally_;
  std::vector<std::jthread> threads_{};
};

}  // namespace service
