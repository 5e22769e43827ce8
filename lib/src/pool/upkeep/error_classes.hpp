// Connects that failed, counted by the class of the server's SQLSTATE.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include <tidegate/base/mutex.hpp>
#include <tidegate/pool/connect_error.hpp>

namespace tidegate::detail {

class ErrorClasses {
 public:
  using Counts = std::map<std::string, std::uint64_t>;

  // Counts nothing where no server has answered. A server may say what it likes, so the number of
  // classes is bounded. Throws: std::bad_alloc.
  void note(const ConnectError& error) {
    if (error.sqlstate().empty()) return;
    const std::string found = error.sqlstate().substr(0, 2);
    const Lock lock(mutex_);
    const bool full = counts_.size() >= kMost && !counts_.contains(found);
    ++counts_[full ? "other" : found];
  }
  Counts counts() const {
    const Lock lock(mutex_);
    return counts_;
  }

 private:
  static constexpr std::size_t kMost = 15;

  mutable Mutex<> mutex_;
  Counts counts_ TIDEGATE_GUARDED_BY(mutex_);
};

}  // namespace tidegate::detail
