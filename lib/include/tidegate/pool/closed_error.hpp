// PoolClosed: who closed the pool, and who still holds a lease.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <tidegate/base/error.hpp>
#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>

namespace tidegate {

// Who holds a lease, as errors and close reports show it. Plain data.
struct LeaseHolder {
  Location where{};      // the acquire that began the lease
  std::string thread{};  // empty when the thread has no name
  long thread_id = 0;    // the kernel's thread id
  std::chrono::nanoseconds held{};
  int backend_pid = 0;    // 0 = unknown
  std::string session{};  // "in transaction", "busy", ...; empty = nothing to say
};

// "OrderRepo::load (src/repo.cpp:41) for 3.1 s, pid 4711, in transaction; ...; and 5 more".
// `more` counts the holders that are not in `oldest`.
TIDEGATE_API std::string describe_holders(const std::vector<LeaseHolder>& oldest,
                                          std::uint32_t more = 0);

// What an error tells about a closed pool. Plain data; `holders` is made once per phase and shared,
// because a close may have to tell a thousand waiters.
struct ClosedReport {
  std::string pool{};
  CloseRecord closer{};
  std::chrono::steady_clock::time_point at{};  // when the refused call was made
  std::uint32_t outstanding = 0;               // leases still out
  std::uint32_t max_size = 0;
  std::shared_ptr<const std::string> holders{};  // describe_holders() of the oldest; may be null
  // Users that were attached when the pool was closed: "jobs (src/main.cpp:12)"; may be null.
  std::shared_ptr<const std::vector<std::string>> attached{};
};

// The pool is closed, or closing. what() says who closed it, when and why, and who holds a lease.
// Copies share the report, so copying does not throw.
class TIDEGATE_API PoolClosed : public Error {
 public:
  explicit PoolClosed(ClosedReport report, Location where = {});
  PoolClosed(const PoolClosed&) = default;
  PoolClosed& operator=(const PoolClosed&) = default;
  ~PoolClosed() override;

  const CloseRecord& closer() const noexcept { return report_->closer; }

 private:
  std::shared_ptr<const ClosedReport> report_;
};

}  // namespace tidegate
