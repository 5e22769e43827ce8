// Which addresses a conninfo stands for.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "pq/connect/attempt.hpp"

namespace tidegate::pq {

// How a connect proceeds: it tries every host in turn, in each pass.
struct ConnectPlan {
  std::vector<Target> hosts{};  // names and given addresses, not looked up yet
  // target_session_attrs of each pass; empty: libpq's default. Two passes for prefer-standby,
  // which libpq could only decide if it saw all the addresses.
  std::vector<std::string> passes{};
  std::optional<std::chrono::seconds> connect_timeout{};  // libpq's, for one address
  bool shuffle = false;                                   // load_balance_hosts=random
  bool unpaired = false;  // libpq refuses these numbers of hosts, addresses and ports
  // What is wrong with an option that libpq reads only once it has a socket or is to cancel; empty:
  // nothing.
  std::string broken_number{};
};

// The plan for `params`, with what the environment, a service file and defaults add.
// Promises: no network. When libpq refuses them (unequal numbers of hosts and ports, a bad service
// file): one host without a name, so that the attempt tells what is wrong.
ConnectPlan plan_connect(const ConnectParams& params);

// `params` for one address and pass of the plan.
ConnectParams params_for(const ConnectParams& params, const Target& target,
                         const std::string& session_attrs);

struct Addresses {
  std::vector<Target> found{};
  std::string error{};  // why there are none
};

// The addresses of a host. Blocks while a name is looked up. A Unix socket is its own address.
Addresses look_up(const Target& host);

}  // namespace tidegate::pq
