#include <tidegate/pool/closed_error.hpp>

#include <utility>

#include "pool/errors/error_text.hpp"

namespace tidegate {
namespace {

using detail::one_line;
using detail::pool_text;
using detail::this_acquire;
using detail::thread_text;

std::string closed_text(const ClosedReport& report, Location where) {
  const CloseRecord& closer = report.closer;
  std::string text = pool_text(report.pool) + " is closed: closed";
  if (closer.where.known()) text += " by " + closer.where.to_string();
  text += " on " + thread_text(closer.thread_name, closer.thread_id);
  text += " " + brief_duration(report.at - closer.when, 4) + " ago";
  if (!closer.reason.empty()) text += ", reason \"" + one_line(closer.reason) + '"';

  if (report.attached != nullptr && !report.attached->empty()) {
    text += ",\nwhile ";
    for (const std::string& user : *report.attached) {
      if (&user != &report.attached->front()) text += ", ";
      text += one_line(user);
    }
    text += " still attached";
  }
  text += ",\nphase " + (closer.phase.empty() ? "unknown" : one_line(closer.phase)) + ", ";
  text += report.outstanding == 0
              ? "no"
              : std::to_string(report.outstanding) + " of " + std::to_string(report.max_size);
  text += report.outstanding == 0 || report.max_size == 1 ? " lease" : " leases";
  text += " outstanding";
  if (report.outstanding != 0 && report.holders && !report.holders->empty()) {
    text += ": " + *report.holders;
  }
  return text + this_acquire(where, "");
}

}  // namespace

std::string describe_holders(const std::vector<LeaseHolder>& oldest, std::uint32_t more) {
  std::string text;
  for (const auto& holder : oldest) {
    if (!text.empty()) text += "; ";
    text += holder.where.to_string() + " for " + brief_duration(holder.held);
    if (holder.backend_pid != 0) text += ", pid " + std::to_string(holder.backend_pid);
    if (!holder.session.empty()) text += ", " + one_line(holder.session);
  }
  if (more != 0) text += (text.empty() ? "" : "; and ") + std::to_string(more) + " more";
  return text;
}

PoolClosed::PoolClosed(ClosedReport report, Location where)
    : Error(Errc::closed, closed_text(report, where), where),
      report_(std::make_shared<const ClosedReport>(std::move(report))) {}
PoolClosed::~PoolClosed() = default;

}  // namespace tidegate
