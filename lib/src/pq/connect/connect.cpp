#include <tidegate/pq/connect.hpp>

#include <algorithm>
#include <optional>
#include <random>
#include <stop_token>
#include <system_error>

#include "pq/connect/attempt.hpp"
#include "pq/connect/option_check.hpp"
#include "pq/connect/stop_signal.hpp"
#include "pq/connect/targets.hpp"

namespace tidegate::pq {
namespace {

// One connect() under way.
class Connect {
 public:
  Connect(const ConnectOptions& options, std::stop_token stop, Deadline deadline)
      : options_(options),
        params_(options.params),
        stop_(std::move(stop)),
        signal_(stop_),
        deadline_(deadline),
        plan_(plan_connect(params_)) {}

  ConnectOutcome run() {
    if (signal_.error() != 0) {
      return fail({.text = "cannot create an eventfd: " +
                           std::generic_category().message(signal_.error())});
    }
    if (auto refused = refusal_of(params_)) {
      return fail({.kind = ConnectFault::rejected, .text = std::move(*refused)});
    }
    if (!plan_.broken_number.empty()) {
      return fail({.kind = ConnectFault::rejected, .text = plan_.broken_number});
    }
    if (plan_.shuffle) std::shuffle(plan_.hosts.begin(), plan_.hosts.end(), random_);
    for (std::size_t pass = 0; pass < plan_.passes.size(); ++pass) {
      for (std::size_t host = 0; host < plan_.hosts.size(); ++host) {
        // How many hosts are still to be tried after this one, each with at least one address.
        const std::size_t later = (plan_.passes.size() - pass) * plan_.hosts.size() - host - 1;
        if (try_host(plan_.hosts[host], plan_.passes[pass], later)) return std::move(outcome_);
      }
    }
    return fail(cause());
  }

 private:
  // True when the connect is decided, either way: outcome_ has the result.
  bool try_host(const Target& host, const std::string& session_attrs, std::size_t later) {
    if (give_up(host)) return true;
    if (options_.on_step) options_.on_step(ConnectStep::look_up);
    Addresses addresses = look_up(host);
    if (addresses.found.empty()) {
      attempts_.push_back({.text = addresses.error, .host = host.host, .port = host.port});
      return false;
    }
    if (plan_.shuffle) std::shuffle(addresses.found.begin(), addresses.found.end(), random_);
    for (std::size_t i = 0; i < addresses.found.size(); ++i) {
      const Target& target = addresses.found[i];
      if (give_up(target)) return true;
      const std::size_t left = later + addresses.found.size() - i;
      AttemptOutcome tried = attempt({.params = params_for(params_, target, session_attrs),
                                      .statement_cache = options_.statement_cache,
                                      .statement_trust = options_.statement_trust,
                                      .cancels = options_.cancels,
                                      .drain_bound = options_.drain_bound,
                                      .on_notice = options_.on_notice,
                                      .queries = options_.queries,
                                      .on_step = options_.on_step},
                                     target, signal_.fd(), share(left));
      outcome_.given_up += tried.begun ? 1 : 0;
      if (tried) {
        outcome_.connection = std::move(tried.connection);
        outcome_.duplicate = std::move(tried.duplicate);
        return true;
      }
      attempts_.push_back(std::move(tried.failure));
      if (plan_.unpaired) attempts_.back().kind = ConnectFault::rejected;
      if (attempts_.back().kind != ConnectFault::unreachable) {
        outcome_ = fail(attempts_.back());
        return true;
      }
    }
    return false;
  }

  bool give_up(const Target& target) {
    FailedAttempt reason{.host = target.host, .address = target.address, .port = target.port};
    if (stop_.stop_requested()) {
      reason.kind = ConnectFault::aborted;
      reason.text = "aborted";
    } else if (deadline_.passed()) {
      if (!attempts_.empty()) reason = cause();
      if (attempts_.empty()) reason.text = "there was no time left to connect";
    } else {
      return false;
    }
    outcome_ = fail(std::move(reason));
    return true;
  }

  // The deadline of the next attempt when `left` attempts are still to be made.
  Deadline share(std::size_t left) const {
    Deadline by = deadline_;
    if (!deadline_.is_never() && left > 1) {
      by = Deadline::Clock::now() + deadline_.remaining() / static_cast<long>(left);
    }
    if (plan_.connect_timeout) by = earlier(by, Deadline(*plan_.connect_timeout));
    return by;
  }

  // Which unreachable address to name: one whose server answered, else the last.
  FailedAttempt cause() const {
    const auto answered = std::find_if(attempts_.begin(), attempts_.end(),
                                       [](const auto& a) { return !a.sqlstate.empty(); });
    return answered != attempts_.end() ? *answered : attempts_.back();
  }

  ConnectOutcome fail(FailedAttempt cause) {
    ConnectOutcome outcome;
    outcome.given_up = outcome_.given_up;
    outcome.failure = ConnectFailure{.cause = std::move(cause), .attempts = std::move(attempts_)};
    return outcome;
  }

  const ConnectOptions& options_;
  const ConnectParams& params_;
  std::stop_token stop_;
  StopSignal signal_;
  Deadline deadline_;
  ConnectPlan plan_;
  std::minstd_rand random_{std::random_device{}()};
  std::vector<FailedAttempt> attempts_{};
  ConnectOutcome outcome_{};
};

}  // namespace

ConnectOutcome connect(const ConnectOptions& options, std::stop_token stop, Deadline deadline) {
  if (options.on_step) options.on_step(ConnectStep::start);  // to hear libpq's view of the options
  return Connect(options, std::move(stop), deadline).run();
}

}  // namespace tidegate::pq
