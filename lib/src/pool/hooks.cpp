#include <tidegate/pool/hooks.hpp>

#include <algorithm>

#include <tidegate/pool/observer.hpp>

namespace tidegate {

std::string_view ConnectParams::get(std::string_view keyword) const noexcept {
  for (const auto& [key, value] : entries_) {
    if (key == keyword) return value;
  }
  return {};
}

void ConnectParams::set(std::string_view keyword, std::string value) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [keyword](const auto& entry) { return entry.first == keyword; });
  if (found != entries_.end()) {
    found->second = std::move(value);
  } else {
    entries_.emplace_back(keyword, std::move(value));
  }
}

Observer::~Observer() = default;
bool Observer::wants_leases() const noexcept { return true; }
void Observer::acquire_started(Location) {}
void Observer::acquire_ended(const AcquireEnded&) {}
void Observer::waited(Location, std::chrono::nanoseconds) {}
void Observer::released(const LeaseReleased&) {}
void Observer::slow_acquire(Location, std::chrono::nanoseconds) {}
void Observer::slow_statement(const QueryStarted&, const QueryEnded&) {}
void Observer::connect_started() {}
void Observer::connect_ended(const ConnectEnded&) {}
void Observer::backing_off(std::uint32_t, std::chrono::nanoseconds) {}
void Observer::ping_started(int) {}
void Observer::ping_ended(const PingEnded&) {}
void Observer::reset_started(int) {}
void Observer::reset_ended(const ConnectionReset&) {}
void Observer::retired(const ConnectionRetired&) {}
void Observer::role_changed(int) {}
void Observer::pooler_recognized(const PoolerRecognized&) {}
void Observer::login_notice(const Notice&) {}
void Observer::parameter_dropped(const ParameterDropped&) {}
void Observer::leak_suspected(const LeaseInfo&) {}
void Observer::leak_returned(const LeaseInfo&) {}
void Observer::nested_acquire(Location, const LeaseInfo&, bool) {}
void Observer::self_deadlock_suspected(Location, const std::vector<LeaseInfo>&, bool) {}
void Observer::hook_failed(std::string_view, std::string_view) {}
void Observer::close_phase(std::string_view) {}
void Observer::close_waits(std::chrono::nanoseconds, const std::vector<LeaseInfo>&) {}
void Observer::closed(const CloseReport&) {}

}  // namespace tidegate
