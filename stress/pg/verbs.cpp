// Verbs in a row: what one leaves behind, in libpq or on the server, must not reach the next (I10).
#include "pg/verbs.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "pg/load.hpp"
#include "pg/pool.hpp"
#include "scenario.hpp"

namespace tidegate::stress {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kTrail = 8;
std::vector<std::string_view>& last_verbs() {
  static std::vector<std::string_view> last;
  return last;
}

// Numbers 0 .. n-1 in an order in which each comes once behind each, itself too: a way over all the
// edges of the complete graph (Hierholzer), which is another one for each seed.
std::vector<std::uint32_t> every_pair(std::uint32_t n, Random& random) {
  std::vector<std::vector<std::uint32_t>> next(n);
  for (auto& edges : next) {
    for (std::uint32_t to = 0; to < n; ++to) edges.push_back(to);
    std::shuffle(edges.begin(), edges.end(), random);
  }
  std::vector<std::uint32_t> path{random.below(n)};
  std::vector<std::uint32_t> walk;
  while (!path.empty()) {
    auto& edges = next[path.back()];
    if (edges.empty()) {
      walk.push_back(path.back());
      path.pop_back();
    } else {
      path.push_back(edges.back());
      edges.pop_back();
    }
  }
  std::reverse(walk.begin(), walk.end());
  return walk;
}

// One session under test, and another that tells what is stored.
class Verbs {
 public:
  Verbs(Run& run, Actor& self, PgPool& pool, Pool& side)
      : model_(Random::stream(run.seed(2))), self_(self), pool_(pool), side_(side) {
    side_.exec_script("truncate verbs, verbs_deferred");
  }

  // Every ordered pair; each verb in a lease of its own, or all in one.
  void play_pairs(bool in_one_lease) {
    lease();
    const auto verbs = all_verbs();
    for (const std::uint32_t i :
         every_pair(static_cast<std::uint32_t>(verbs.size()), model_.random)) {
      if (!in_one_lease) {
        release();
        lease();
      }
      play(verbs[i]);
    }
    release();
    compare_all();
  }
  // Verbs by chance, transactions and savepoints around them, and leases that end in between.
  void play_at_random(int steps) {
    const auto verbs = all_verbs();
    lease();
    for (int i = 0; i < steps; ++i) {
      if (model_.has_failed()) {
        refused();
        rollback();
      } else if (model_.random.chance(1, 4)) {
        change_transaction();
      } else if (!model_.in_transaction() && model_.random.chance(1, 8)) {
        release();
        lease();
      }
      const Verb& verb = verbs[model_.random.below(static_cast<std::uint32_t>(verbs.size()))];
      if (!model_.has_failed() && (verb.in_transactions || !model_.in_transaction())) play(verb);
    }
    while (model_.in_transaction()) rollback();
    release();
    compare_all();
  }

 private:
  void lease() {
    add_to_trail("(lease)");
    held_ = pool_.acquire(self_, Deadline(8s));
    model_.use(*held_->lease);
  }
  void release() { pool_.release(self_, std::move(*held_)); }

  void play(const Verb& verb) {
    step(verb.name, [&] { verb.play(model_); });
  }
  template <class F>
  void step(std::string_view name, F&& verb) {
    add_to_trail(name);
    try {
      const Actor::InCall call(self_, "verb");
      verb();
    } catch (const std::exception& error) {
      must(false, error.what());
    }
    // Within the trail, so that the verb which stored something else is in it.
    if (++steps_ % (kTrail / 2) == 0 && !model_.in_transaction()) compare();
  }
  void rollback() {
    step("rollback", [&] { model_.rollback(); });
  }
  void change_transaction() {
    const bool deep = model_.depth() == 3;
    if (!deep && (!model_.in_transaction() || model_.random.chance(1, 3))) {
      step("begin", [&] { model_.begin(); });
    } else if (model_.random.chance(1, 2)) {
      step("commit", [&] { model_.commit(); });
    } else {
      rollback();
    }
  }
  // Until it is rolled back a transaction that has failed refuses everything.
  void refused() {
    step("a statement in a failed transaction", [&] {
      try {
        model_.connection().exec("select 1");
        must(false, "it is not refused");
      } catch (const QueryError& error) {
        must(error.sqlstate() == "25P02", error.what());
      }
    });
  }

  void compare() {
    const auto [rows, last] =
        side_.query_row<int, int>("select count(*)::int, coalesce(max(id), 0) from verbs");
    const std::set<int>& due = model_.rows();
    const int last_due = due.empty() ? 0 : *due.rbegin();
    must(rows == static_cast<int>(due.size()) && last == last_due, rows,
         " rows are stored, the last is ", last, "; due are ", due.size(), ", the last ", last_due);
  }
  // Every row and its text.
  void compare_all() {
    std::vector<int> stored;
    side_.acquire()->each("select id, val from verbs order by id", [&](const Row& row) {
      const auto [id, text] = row.as<int, std::string>();
      stored.push_back(id);
      must(text == text_of(id), "row ", id, " holds ", text);
    });
    must(std::equal(stored.begin(), stored.end(), model_.rows().begin(), model_.rows().end()),
         "other rows are stored than are due");
  }

  VerbModel model_;
  Actor& self_;
  PgPool& pool_;
  Pool& side_;
  std::optional<PgPool::Held> held_{};
  std::size_t steps_ = 0;
};

// Seen failing: with single-row mode that outlives each() in libpq (a batch whose first statement
// has no rows), and with a commit() that does not wait for a ping's answer.
void verbs(Run& run) {
  Pool side(PoolConfig{.name = "verbs-side", .max_size = 1});
  side.exec_script(
      "drop table if exists verbs, verbs_deferred;"
      "create unlogged table verbs (id int primary key, val text not null);"
      "create unlogged table verbs_deferred"
      "  (id int references verbs deferrable initially deferred)");
  while (run.next_pass()) {
    MainActor self(run);
    PoolConfig config = PgPool::quick("verbs", 1);
    config.statement_cache = 8;  // fewer than there are texts
    config.cancel_rate = 10'000;
    config.ping_timeout = 3s;  // the reset's bound, and the machine is loaded
    PgPool pool(std::move(config), {});
    Verbs verbs(run, self, pool, side);
    verbs.play_pairs(true);
    verbs.play_pairs(false);
    verbs.play_at_random(1000);
    pool.audit_at_rest(self);
    pool.audit_and_close(self);
  }
}

const Registered registered({"hygiene.verbs", "every verb behind every other, values checked",
                             verbs, Driver::pg, Breaks::nothing});

}  // namespace

void add_to_trail(std::string_view verb) {
  auto& last = last_verbs();
  if (last.size() == kTrail) last.erase(last.begin());
  last.push_back(verb);
}

std::string trail() {
  std::string text;
  for (const std::string_view verb : last_verbs()) {
    text.append(text.empty() ? "" : ", then ").append(verb);
  }
  return text;
}

}  // namespace tidegate::stress
