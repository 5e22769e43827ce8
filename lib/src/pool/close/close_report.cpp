// CloseReport as text and as JSON.
#include <tidegate/pool/close.hpp>

#include <string_view>

#include <tidegate/base/duration.hpp>

#include "base/json.hpp"
#include "pool/errors/error_text.hpp"

namespace tidegate {
namespace {

using detail::counted;
using detail::json_string;
using detail::JsonObject;
using detail::one_line;
using Remaining = CloseReport::Remaining;
using StuckThread = CloseReport::StuckThread;

// What became of the lease, and why it did not end better.
std::string fate(const Remaining& remaining) {
  if (!remaining.ended_in.empty()) return "ended in " + remaining.ended_in;
  std::string text = "still out";
  if (remaining.forced) {
    text += ", although its socket is shut down";
    const bool unknown = remaining.lease.transaction == TransactionStatus::unknown;
    if (unknown) text += " (or was, before native_handle() was used)";
    if (!remaining.lease.busy && !unknown) text += ": no call is on it that could fail";
  }
  return text;
}

std::string why_not_canceled(const Remaining& remaining) {
  if (remaining.canceled) return ", canceled";
  if (remaining.cancel_request == "answered") {
    return ", its cancel request was answered, but the statement not canceled";
  }
  if (!remaining.cancel_request.empty()) {
    return ", its cancel request was " + remaining.cancel_request;
  }
  const bool idle =
      !remaining.lease.busy && remaining.lease.transaction != TransactionStatus::unknown;
  return idle ? ", no statement to cancel" : "";
}

// How long before the close the shutdown was announced.
std::chrono::nanoseconds notice(const CloseReport& report) {
  return report.closer.when - report.announced->when;
}

void append_callers(std::string& text, const CloseReport& report) {
  if (report.announced) {
    text += "\n  announced by " + report.announced->where.to_string();
    if (!report.announced->reason.empty())
      text += ", reason \"" + one_line(report.announced->reason) + '"';
    text += ", " + brief_duration(notice(report)) + " before";
  }
  for (const CloseRecord& later : report.later_callers) {
    text += "\n  also closed by " + later.where.to_string();
    if (!later.reason.empty()) text += ", reason \"" + one_line(later.reason) + '"';
    text += ", " + brief_duration(later.when - report.closer.when) + " later";
  }
  if (report.still_attached.empty()) return;
  text += "\n  still attached:";
  for (std::size_t i = 0; i < report.still_attached.size(); ++i) {
    text += (i == 0 ? " " : ", ") + one_line(report.still_attached[i]);
  }
}

// ---- JSON

JsonObject object_of(const CloseRecord& record) {
  JsonObject object;
  object.text("where", record.where.to_string());
  object.text("thread", record.thread_name);
  object.number("thread_id", record.thread_id);
  object.text("reason", record.reason);
  return object;
}

std::string json_of(const CloseRecord& record) { return object_of(record).done(); }

std::string announced_json(const CloseReport& report) {
  if (!report.announced) return "null";
  JsonObject object = object_of(*report.announced);
  object.seconds("before", notice(report));
  return object.done();
}

std::string json_of(const Remaining& remaining) {
  const LeaseInfo& lease = remaining.lease;
  JsonObject object;
  object.text("acquired", lease.site.to_string());
  object.text("thread", lease.thread_name);
  object.number("thread_id", lease.thread_id);
  object.seconds("held", lease.held);
  object.number("backend_pid", lease.backend_pid);
  object.text("transaction", to_string(lease.transaction));
  object.flag("busy", lease.busy);
  object.text("statement", lease.statement);
  object.number("under_way", lease.under_way);
  object.flag("canceled", remaining.canceled);
  object.text("cancel_request", remaining.cancel_request);
  object.flag("forced", remaining.forced);
  object.add("ended_in", remaining.ended_in.empty() ? "null" : json_string(remaining.ended_in));
  return object.done();
}

std::string json_of(const StuckThread& thread) {
  JsonObject object;
  object.text("role", thread.role);
  object.text("in", thread.in);
  object.seconds("stuck", thread.stuck);
  object.number("thread_id", thread.thread_id);
  return object.done();
}

std::string json_of(const std::string& text) { return json_string(text); }

template <class T>
std::string json_of(const std::vector<T>& list) {
  std::string all;
  for (const T& one : list) all += (all.empty() ? "" : ",") + json_of(one);
  return '[' + all + ']';
}

}  // namespace

std::string_view to_string(CloseReport::Outcome outcome) noexcept {
  using Outcome = CloseReport::Outcome;
  switch (outcome) {
    case Outcome::drained: return "drained";
    case Outcome::drained_after_cancel: return "drained_after_cancel";
    case Outcome::drained_after_force: return "drained_after_force";
    case Outcome::orphaned: return "orphaned";
  }
  return "?";
}

std::string to_string(const CloseReport& report) {
  std::string text = "closed by " + report.closer.where.to_string();
  if (!report.closer.reason.empty()) text += ", reason \"" + one_line(report.closer.reason) + '"';
  text += ": " + std::string(to_string(report.outcome)) + " in " + brief_duration(report.total);
  append_callers(text, report);
  text += "\n  fence " + brief_duration(report.fence) + ": " +
          counted(report.waiters_rejected, "waiting acquire") + " told, " +
          counted(report.connects_aborted, "connect") + " aborted, " +
          counted(report.idle_closed, "idle connection") + " closed";
  text += "\n  drain " + brief_duration(report.drain) + ": " +
          counted(report.leases_at_close, "lease") + " out, " +
          std::to_string(report.remaining.size()) + " did not come back";
  if (report.leases_of_closer > 0) {
    text += "\n  " + std::to_string(report.leases_of_closer) +
            (report.leases_of_closer == 1 ? " of them was" : " of them were") +
            " acquired or last used by the closing thread itself: what it still had while "
            "it closed could not come back";
  }
  if (report.cancel.count() > 0 || report.cancels_sent > 0) {
    text += "\n  cancel " + brief_duration(report.cancel) + ": " +
            counted(report.cancels_sent, "request") + " sent, " +
            std::to_string(report.cancels_failed) + " failed, " +
            std::to_string(report.cancels_unsent) + " not sent, " +
            std::to_string(report.cancels_stuck) + " stuck";
  }
  if (report.force.count() > 0) text += "\n  force " + brief_duration(report.force);
  for (const Remaining& remaining : report.remaining) {
    text +=
        "\n  " + fate(remaining) + ": " + to_string(remaining.lease) + why_not_canceled(remaining);
  }
  for (const StuckThread& thread : report.stuck_threads) {
    text += "\n  left behind: " + one_line(thread.role) + " thread " +
            std::to_string(thread.thread_id) + ", in " + one_line(thread.in) + " for " +
            brief_duration(thread.stuck);
  }
  return text;
}

std::string to_json(const CloseReport& report) {
  JsonObject object;
  object.text("outcome", to_string(report.outcome));
  object.add("closer", json_of(report.closer));
  object.add("later_callers", json_of(report.later_callers));
  object.add("announced", announced_json(report));
  object.seconds("fence", report.fence);
  object.seconds("drain", report.drain);
  object.seconds("cancel", report.cancel);
  object.seconds("force", report.force);
  object.seconds("total", report.total);
  object.number("leases_at_close", report.leases_at_close);
  object.number("leases_orphaned", report.leases_orphaned);
  object.number("leases_of_closer", report.leases_of_closer);
  object.number("idle_closed", report.idle_closed);
  object.number("waiters_rejected", report.waiters_rejected);
  object.number("connects_aborted", report.connects_aborted);
  object.number("cancels_sent", report.cancels_sent);
  object.number("cancels_failed", report.cancels_failed);
  object.number("cancels_unsent", report.cancels_unsent);
  object.number("cancels_stuck", report.cancels_stuck);
  object.add("still_attached", json_of(report.still_attached));
  object.add("remaining", json_of(report.remaining));
  object.add("stuck_threads", json_of(report.stuck_threads));
  return object.done();
}

}  // namespace tidegate
