#include <tidegate/watch/stats.hpp>

#include <locale>
#include <sstream>

namespace tidegate {

std::string to_string(const Stats& s) {
  std::ostringstream out;
  out.imbue(std::locale::classic());  // no locale may put a separator into the thousands
  out << "used=" << s.leased << '/' << s.max << " idle=" << s.idle << " connecting=" << s.connecting
      << " checking=" << s.checking << " retiring=" << s.retiring << " pinging=" << s.pinging
      << " resetting=" << s.resetting << " in_hooks=" << s.in_hooks << " waiting=" << s.waiting
      << " acquired=" << s.acquired() << " waited=" << s.outcomes.waited
      << " failed=" << s.attempts() - s.acquired() << " created=" << s.created
      << " create_errors=" << s.create_errors;
  if (s.lanes.statements > 0) {
    out << " lanes=" << s.lanes.open << " on_lanes=" << s.lanes.callers
        << " by_lane=" << s.lanes.statements << " rounds=" << s.lanes.rounds;
  }
  return out.str();
}

}  // namespace tidegate
