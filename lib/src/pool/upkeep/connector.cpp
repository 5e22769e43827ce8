#include "pool/upkeep/connector.hpp"

#include <new>
#include <string>
#include <utility>

#include <tidegate/base/duration.hpp>
#include <tidegate/core/openers.hpp>
#include <tidegate/pool/connect_error.hpp>
#include <tidegate/pq/conninfo.hpp>

#include "pool/events.hpp"
#include "pool/hook_scope.hpp"
#include "pool/pool_impl.hpp"
#include "pool/queries.hpp"
#include "pool/upkeep/termination.hpp"
#include "pq/connect/dropped_parameters.hpp"
#include "pq/pool_access.hpp"

namespace tidegate::detail {
namespace {

std::string default_of(std::string_view keyword) {
  for (const pq::ConninfoOption& option : pq::conninfo_defaults()) {
    if (option.keyword == keyword) return option.value;
  }
  return {};
}

// Where a connect is, in the words of Doing and of the reports.
constexpr const char* kLookingUp = "a connect, at the look-up of a host name";
constexpr const char* kStarting = "a connect, in PQconnectStartParams()";
constexpr const char* kPolling = "a connect, in PQconnectPoll()";
constexpr const char* kWaiting = "a connect, waiting for the server";
constexpr const char* kBeforeConnect = "hook before_connect";

void say_step(pq::ConnectStep step) noexcept {
  switch (step) {
    case pq::ConnectStep::look_up: return core::Doing::now(kLookingUp);
    case pq::ConnectStep::start: return core::Doing::now(kStarting);
    case pq::ConnectStep::poll: return core::Doing::now(kPolling);
    case pq::ConnectStep::wait: return core::Doing::now(kWaiting);
  }
}
// Before these steps are over the server has heard nothing of the connect.
bool before_the_server(const char* in) noexcept {
  return in == kLookingUp || in == kStarting || in == kBeforeConnect;
}

// The connect has failed for a reason in this process.
ErrorValue failed_here(const std::string& pool, ConnectReport::Where where, std::string text) {
  ConnectReport report;
  report.pool = pool;
  report.failed_in = where;
  report.text = std::move(text);
  report.attempts = 1;
  report.since = report.last = report.at = std::chrono::steady_clock::now();
  return ErrorValue::of(ConnectError(Errc::unavailable, std::move(report)));
}

// The connect has failed, and the next one will fail as well.
ErrorValue failed_for_good(const std::string& pool, std::string text) {
  ConnectReport report;
  report.pool = pool;
  report.text = std::move(text);
  report.attempts = 1;
  report.since = report.last = report.at = std::chrono::steady_clock::now();
  return ErrorValue::of(ConnectError(Errc::rejected, std::move(report)));
}

std::string describe_address(const pq::FailedAttempt& attempt) {
  if (attempt.address.empty()) return attempt.host + ":" + attempt.port;
  if (attempt.address == attempt.host) return attempt.address + ":" + attempt.port;
  return attempt.host + " (" + attempt.address + ":" + attempt.port + ")";
}

ErrorValue explain(const std::string& pool, const pq::ConnectFailure& failure) {
  if (failure.cause.kind == pq::ConnectFault::aborted) {
    return ErrorValue::of(Error(Errc::canceled, "connect aborted: the pool is closing"));
  }
  ConnectReport report;
  report.pool = pool;
  report.text = failure.cause.text;
  report.sqlstate = failure.cause.sqlstate;
  report.attempts = 1;
  report.since = report.last = report.at = std::chrono::steady_clock::now();
  for (const pq::FailedAttempt& attempt : failure.attempts) {
    report.addresses.push_back({describe_address(attempt), attempt.text});
  }
  const Errc code =
      failure.cause.kind == pq::ConnectFault::rejected ? Errc::rejected : Errc::unavailable;
  return ErrorValue::of(ConnectError(code, std::move(report)));
}

}  // namespace

Connector::Connector(const PoolImpl& pool, const PoolConfig& config,
                     std::shared_ptr<pq::CancelGroup> cancels)
    : pool_(pool),
      name_(config.effective_name()),
      hooks_(config.hooks),
      captures_stacks_(config.capture_stack),
      is_strict_(config.strict_parameters),
      rules_(std::make_shared<const ReleaseRules>(
          ReleaseRules{.reset = config.reset,
                       .after_release = static_cast<bool>(config.hooks.after_release),
                       .observer = config.observer,
                       .tells_releases = pool.tells_leases()})) {
  std::string session_attrs = default_of("target_session_attrs");
  auto parsed = pq::parse_conninfo(config.conninfo);
  // The conninfo is valid: so memory ran out, and going on would connect to libpq's default.
  if (!parsed) throw std::bad_alloc();
  for (pq::ConninfoOption& option : *parsed) {
    if (option.keyword == "target_session_attrs") session_attrs = option.value;
    options_.params.emplace_back(std::move(option.keyword), std::move(option.value));
  }
  // The fallback: conninfo and PGAPPNAME win.
  options_.params.emplace_back("fallback_application_name", "tidegate/" + name_);
  // The last of equal keywords counts.
  if (config.require_auth) options_.params.emplace_back("require_auth", *config.require_auth);
  options_.statement_cache = config.statement_cache;
  options_.cancels = std::move(cancels);
  options_.queries = pool.queries();
  options_.on_step = say_step;
  if (config.observer != nullptr) {
    options_.on_notice = [observer = config.observer](const Notice& notice) {
      if (!core::Openers::is_given_up()) observer->login_notice(notice);
    };
  }
  wants_primary_ = session_attrs == "read-write" || session_attrs == "primary";
}

Expected<PooledConnection> Connector::open(const std::stop_token& stop, Deadline deadline) const {
  const auto began = std::chrono::steady_clock::now();
  tell(rules_->observer, [](Observer& o) { o.connect_started(); });
  Expected<PooledConnection> opened = connect_or_tell(stop, deadline);
  if (!core::Openers::settle()) return opened;
  const auto took = std::chrono::steady_clock::now() - began;
  if (opened) {
    times_->add(took);
  } else if (const auto* const refused = opened.error().as<ConnectError>()) {
    try {
      refusals_->note(*refused);
    } catch (const std::bad_alloc&) {  // it counts as one without an answer
    }
  }
  tell(rules_->observer, [&](Observer& o) {
    const ErrorValue* const error = opened ? nullptr : &opened.error();
    o.connect_ended({.error = error,
                     .took = took,
                     .backend_pid = opened ? opened->connection.backend_pid() : 0});
  });
  return opened;
}

// The thread may stay in the connect for ever, so the observer is told here.
ErrorValue Connector::overdue(const core::Overdue& how) const {
  const std::string in = how.in != nullptr ? how.in : "a connect";
  std::string text;
  if (how.begun) {
    if (!before_the_server(how.in)) pool_.count_given_up(1);
    text = "the connect has not returned for " + brief_duration(how.took) +
           " and is given up: thread " + std::to_string(how.thread_id) + " is in " + in;
  } else {
    text = std::to_string(how.detached) +
           " connects that were given up have not returned, and no more are begun: thread " +
           std::to_string(how.thread_id) + " is in " + in + " for " + brief_duration(how.took);
  }
  ErrorValue error = failed_here(name_, ConnectReport::Where::process, std::move(text));
  if (how.begun) {
    tell(rules_->observer,
         [&](Observer& o) { o.connect_ended({.error = &error, .took = how.took}); });
  }
  return error;
}

// Turns every exception into an error, so that the observer hears of the end, too.
Expected<PooledConnection> Connector::connect_or_tell(const std::stop_token& stop,
                                                      Deadline deadline) const {
  try {
    return connect(stop, deadline);
  } catch (...) {
    return failed_here(name_, ConnectReport::Where::process, what_is_handled());
  }
}

Expected<PooledConnection> Connector::connect(const std::stop_token& stop,
                                              Deadline deadline) const {
  const InHook scope(pool_);  // for both hooks; connecting acquires nothing
  pq::ConnectOptions options = options_;
  // One connection in a thousand looks, by its number, as if no pooler were in between.
  if (meets_pooler_->load(std::memory_order_relaxed) && !options.statement_cache) {
    options.statement_cache = 0;
  }
  if (hooks_.before_connect) {
    const core::Doing doing(kBeforeConnect);
    try {
      ConnectParams params(std::move(options.params));
      hooks_.before_connect(params);
      options.params = params.entries();
    } catch (...) {
      return hook_failed("before_connect");
    }
  }
  pq::ConnectOutcome outcome = [&] {
    const core::Doing doing(kStarting);
    return pq::connect(options, stop, deadline);
  }();
  if (!core::Openers::is_given_up()) pool_.count_given_up(outcome.given_up);
  if (!outcome) return explain(name_, *outcome.failure);
  // Nobody will get this connection: it is closed here, and no hook sees it.
  if (core::Openers::is_given_up()) {
    return failed_here(name_, ConnectReport::Where::process, "given up");
  }

  PooledConnection opened{.connection = std::move(outcome.connection),
                          .duplicate = std::move(outcome.duplicate),
                          .rules_concern_clean = rules_->concern_clean(),
                          .rules = rules_};
  if (opened.connection.through_pooler()) note_pooler(opened.connection);
  std::string dropped = note_dropped(options, opened.connection);
  if (is_strict_ && !dropped.empty()) {
    end(opened, stop);
    return failed_for_good(name_, std::move(dropped));
  }
  if (opened.rules_concern_clean) pq::PoolAccess(opened.connection).inspect_every_lease();
  if (hooks_.after_connect) {
    const core::Doing doing("hook after_connect");
    try {
      const Bounded bound(opened.connection, deadline, stop);
      hooks_.after_connect(opened.connection);
    } catch (...) {
      end(opened, stop);
      return hook_failed("after_connect");
    }
  }
  // What the hook has set is asked for.
  if (wants_primary_) pq::PoolAccess(opened.connection).watch_role();
  if (hooks_.after_connect) {
    // As after a lease: what the hook did is settled, and nobody gets what the hook left undone.
    if (!pq::PoolAccess(opened.connection).reusable()) {
      end(opened, stop);
      return failed_here(name_, ConnectReport::Where::hook,
                         "hook after_connect left the connection unusable: a transaction, a "
                         "COPY or rows that nobody has read");
    }
  }
  pq::PoolAccess(opened.connection).end_login();
  pq::PoolAccess(opened.connection).join_pool();
  if (options.queries != nullptr) {
    pq::PoolAccess(opened.connection).enter_pool(acquired_at, &pool_.core());
  }
  opened.monitor = pq::PoolAccess(opened.connection).monitor();
  if (captures_stacks_) opened.stack = std::make_unique<KeptStack>();
  return opened;
}

// Relaxed: a flag that carries nothing.
void Connector::note_pooler(const Connection& connection) const noexcept {
  if (meets_pooler_->exchange(true, std::memory_order_relaxed)) return;
  tell(rules_->observer, [&](Observer& o) {
    o.pooler_recognized({.backend_pid = connection.backend_pid(),
                         .named_statements = options_.statement_cache.value_or(0) > 0});
  });
}

// The text that names the dropped parameters; empty if there are none.
std::string Connector::note_dropped(const pq::ConnectOptions& options,
                                    const Connection& connection) const {
  std::string text;
  for (const pq::DroppedParameter& dropped : pq::dropped_parameters(options.params, connection)) {
    text += (text.empty() ? "the server, or what is in between, has dropped " : ", ") +
            dropped.name + "=" + dropped.asked + " (it reports " + dropped.reported + ")";
    const unsigned bit = 1U << dropped.number;
    if ((told_dropped_->fetch_or(bit, std::memory_order_relaxed) & bit) != 0) continue;
    tell(rules_->observer, [&](Observer& o) {
      o.parameter_dropped({.backend_pid = connection.backend_pid(),
                           .name = dropped.name,
                           .asked = dropped.asked,
                           .reported = dropped.reported});
    });
  }
  return text;
}

// The slot is free only when the server's process is gone, too, or counts as abandoned
// (Termination).
void Connector::end(PooledConnection& unfit, const std::stop_token& stop) const noexcept {
  const core::Doing doing("a termination");
  if (!end_and_wait(unfit, stop) && !core::Openers::is_given_up()) pool_.count_given_up(1);
}

// Needs: an exception is being handled.
ErrorValue Connector::hook_failed(const char* hook) const {
  return failed_here(name_, ConnectReport::Where::hook,
                     std::string("hook ") + hook + " failed: " + what_is_handled());
}

}  // namespace tidegate::detail
