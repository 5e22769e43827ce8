#include "pq/throw_usage.hpp"

#include <tidegate/base/error.hpp>

namespace tidegate::pq {

void throw_usage(std::string text, Location where) {
  if (where.known()) {
    text.append(" at ").append(where.file()).append(":").append(std::to_string(where.line()));
  }
  throw UsageError(text, where);
}

}  // namespace tidegate::pq
