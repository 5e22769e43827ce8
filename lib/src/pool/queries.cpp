#include "pool/queries.hpp"

#include <chrono>
#include <utility>

#include <tidegate/pool/observer.hpp>

#include "pool/events.hpp"
#include "pool/pooled_connection.hpp"

namespace tidegate::detail {
namespace {

class SlowStatements final : public QueryObserver {
 public:
  SlowStatements(std::chrono::milliseconds slow, std::shared_ptr<Observer> observer,
                 std::shared_ptr<QueryObserver> next) noexcept
      : slow_(slow), observer_(std::move(observer)), next_(std::move(next)) {}

  bool wants_values() const noexcept override { return next_ != nullptr && next_->wants_values(); }
  void* query_started(const QueryStarted& event) override {
    return next_ == nullptr ? nullptr : next_->query_started(event);
  }
  // First here, so that a `next_` that throws hides nothing.
  void query_ended(void* started_as, const QueryStarted& event, const QueryEnded& end) override {
    if (end.took >= slow_ && !end.moved) {
      tell(observer_, [&](Observer& o) { o.slow_statement(event, end); });
    }
    if (next_ != nullptr) next_->query_ended(started_as, event, end);
  }

 private:
  const std::chrono::milliseconds slow_;
  const std::shared_ptr<Observer> observer_;
  const std::shared_ptr<QueryObserver> next_;
};

}  // namespace

std::shared_ptr<QueryObserver> queries_of(const PoolConfig& config) {
  if (config.slow_statement.count() == 0 || config.observer == nullptr) return config.queries;
  return std::make_shared<SlowStatements>(config.slow_statement, config.observer, config.queries);
}

Location acquired_at(const void* core, const Connection& connection) noexcept {
  const PoolCore& in = *static_cast<const PoolCore*>(core);
  const auto slot = in.slot_at(&connection);
  if (!slot || !in.slots().slot(*slot).leased()) return {};  // a hook has it
  return in.slots().slot(*slot).record().site;
}

}  // namespace tidegate::detail
