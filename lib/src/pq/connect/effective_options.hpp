// EffectiveOptions: what libpq makes of the options of a connect.
#pragma once

#include <memory>
#include <string_view>

#include "pq/connect/attempt.hpp"

struct _PQconninfoOption;  // libpq's PQconninfoOption

namespace tidegate::pq {

// Service files, the environment and libpq's defaults included. No network, no look-up of a host.
class EffectiveOptions {
 public:
  // Throws: std::bad_alloc.
  explicit EffectiveOptions(const ConnectParams& params);

  // Empty: the option has no value, or does not exist. Valid as long as this object.
  std::string_view operator[](std::string_view keyword) const noexcept;

 private:
  struct Free {
    void operator()(_PQconninfoOption* options) const noexcept;
  };
  std::unique_ptr<_PQconninfoOption, Free> options_{};
};

}  // namespace tidegate::pq
