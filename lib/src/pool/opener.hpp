// Opens the connections of a pool; runs on opener threads.
#pragma once

#include <stop_token>
#include <string>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/expected.hpp>
#include <tidegate/pool/config.hpp>
#include <tidegate/pq/connect.hpp>

#include "pooled_connection.hpp"

namespace tidegate::detail {

class Opener {
 public:
  // Needs: a valid configuration.
  explicit Opener(const PoolConfig& config);

  // An error has the code unavailable, rejected, or (stopped) canceled; the first two are a
  // ConnectError with what this attempt has shown.
  Expected<PooledConnection> open(const std::stop_token& stop, Deadline deadline) const;

 private:
  std::string pool_;
  pq::ConnectOptions options_;
};

}  // namespace tidegate::detail
