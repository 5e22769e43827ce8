#include <libpq-fe.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <stop_token>
#include <tuple>

#include <tidegate/pq/batch.hpp>
#include <tidegate/pq/copy.hpp>
#include <tidegate/pq/errors.hpp>

#include "pg/verbs.hpp"

namespace tidegate::stress {

using namespace std::chrono_literals;

// ---- transactions ----------------------------------------------------------------------------

void VerbModel::look_at_status() {
  if (!in_transaction()) return;
  failed_ = connection().transaction_status() == TransactionStatus::in_failed_transaction;
}

void VerbModel::begin() {
  Transaction begun = in_transaction() ? levels_.back().transaction.begin() : connection().begin();
  levels_.push_back({.before = rows_, .transaction = std::move(begun)});
}

void VerbModel::commit() {
  levels_.back().transaction.commit();
  levels_.pop_back();
}

void VerbModel::rollback() {
  levels_.back().transaction.rollback();
  rows_ = std::move(levels_.back().before);
  levels_.pop_back();
  failed_ = false;
}

namespace {

struct Thrown {};

// What `f` throws as an E. Anything else ends the run.
template <class E, class F>
E error_of(const char* what, F&& f) {
  try {
    f();
  } catch (const E& error) {
    return error;
  } catch (const Error& error) {
    must(false, what, " ended otherwise: ", error.what());
  }
  must(false, what, " succeeded");
  std::abort();
}

// A statement of the transaction at hand fails, and with it that.
template <class F>
void fails(VerbModel& m, const char* sqlstate, F&& f) {
  const QueryError error = error_of<QueryError>(sqlstate, f);
  must(error.sqlstate() == sqlstate, sqlstate, " was due, and this came: ", error.what());
  m.statement_failed();
}

// It is struck before or while it runs.
template <class F>
void is_struck(VerbModel& m, F&& f) {
  const QueryError error = error_of<QueryTimeout>("a statement that takes for ever", f);
  must(m.connection().is_open(), "the server was given up: ", error.what());
  m.look_at_status();
}

void is_row(const Row& row, int id) {
  must(row.get<int>(0) == id, "row ", id, " was due, and row ", row.get<int>(0), " came");
  must(row.get<std::string_view>(1) == text_of(id), "row ", id, " has the text ",
       row.get<std::string_view>(1));
}
void is_row(const Rows& rows, int id) {
  must(rows.rows() == 1, "one row was due, and ", rows.rows(), " came");
  is_row(rows[0], id);
}
void is_number(const Rows& rows, int number) {
  must(rows.rows() == 1, number, " was due, and ", rows.rows(), " rows came");
  must(rows[0].get<int>(0) == number, number, " was due, and ", rows[0].get<int>(0), " came");
}

constexpr const char* kAsk = "select $1::int";
constexpr const char* kInsert = "insert into verbs values ($1, $2) returning id, val";
constexpr const char* kThree = "select n, 'v' || n from generate_series($1::int, $1::int + 2) n";
// Some rows that are too large to be kept back, and then none for ever.
constexpr const char* kEndless =
    "select n, 'v' || n, case when n < 9 then repeat('x', 8192) else pg_sleep(100)::text end"
    "  from generate_series(1, 9) n";

std::string literal_insert(int id) {
  return "insert into verbs values (" + std::to_string(id) + ", '" + text_of(id) + "')";
}

// ---- one statement ---------------------------------------------------------------------------

void ask(VerbModel& m) {
  const int number = m.new_number();
  is_number(m.connection().exec(kAsk, number), number);
}
void ask_unprepared(VerbModel& m) {
  const int number = m.new_number();
  is_number(m.connection().exec({.prepared = false}, kAsk, number), number);
}
// More texts than the connection keeps.
void ask_something_new(VerbModel& m) {
  const std::string number = std::to_string(m.new_number());
  must(m.connection().query_value<std::string>(Sql("select '" + number + "'::text")) == number,
       "not ", number);
}
void insert(VerbModel& m) {
  const int id = m.new_number();
  is_row(m.connection().exec(kInsert, id, text_of(id)), id);
  m.stored(id);
}
void two_rows_where_one_is_due(VerbModel& m) {
  error_of<TooManyRows>("two rows",
                        [&] { m.connection().query_row<int>("select unnest('{1,2}'::int[])"); });
}
void divide_by_zero(VerbModel& m) {
  fails(m, "22012", [&] { m.connection().exec("select 1 / $1::int", 0); });
}
// Its row has come when it fails.
void break_at_the_end(VerbModel& m) {
  const int id = m.new_number();
  fails(m, "23503",
        [&] { m.connection().exec("insert into verbs_deferred values ($1) returning id", id); });
}
void script(VerbModel& m) {
  const int first = m.new_number();
  const int second = m.new_number();
  m.connection().exec_script(
      Sql(literal_insert(first) + "; select 1 / 1; " + literal_insert(second)));
  m.stored(first);
  m.stored(second);
}
void script_that_fails(VerbModel& m) {
  const std::string text = literal_insert(m.new_number()) + "; select 1 / 0; select 1";
  fails(m, "22012", [&] { m.connection().exec_script(Sql(text)); });
}
void parameter_that_cannot_be_sent(VerbModel& m) {
  error_of<UsageError>(
      "a NUL", [&] { m.connection().exec("select $1::text", std::string_view("a\0b", 3)); });
}
void copy_through_exec(VerbModel& m) {
  error_of<UsageError>("COPY", [&] { m.connection().exec("copy (select 1) to stdout"); });
}
void prepare(VerbModel& m) {
  m.connection().prepare(Sql("select " + std::to_string(m.new_number())));
}

// ---- each ------------------------------------------------------------------------------------

template <class... Options>
void read_three(VerbModel& m, const Options&... options) {
  const int first = m.new_number();
  int seen = 0;
  m.connection().each(options..., kThree, first,
                      [&](const Row& row) { is_row(row, first + seen++); });
  must(seen == 3, "three rows were due, and ", seen, " came");
}
void each(VerbModel& m) { read_three(m); }
void each_unprepared(VerbModel& m) { read_three(m, ExecOptions{.prepared = false}); }
void each_inserts(VerbModel& m) {
  const int id = m.new_number();
  int seen = 0;
  m.connection().each(kInsert, id, text_of(id), [&](const Row& row) {
    is_row(row, id);
    ++seen;
  });
  must(seen == 1, "one row was due, and ", seen, " came");
  m.stored(id);
}
void each_of_nothing(VerbModel& m) {
  m.connection().each("select 1 where $1::int = 0", 1,
                      [](const Row&) { must(false, "a row of none"); });
}
void each_left_early(VerbModel& m) {
  int seen = 0;
  m.connection().each(kEndless, [&](const Row& row) {
    is_row(row, ++seen);
    return seen < 2;
  });
  must(seen == 2, "it was left at the second row, and ", seen, " came");
  m.look_at_status();
}
void each_that_throws(VerbModel& m) {
  bool thrown = false;
  try {
    m.connection().each(kEndless, [](const Row&) { throw Thrown{}; });
  } catch (const Thrown&) {
    thrown = true;
  }
  must(thrown, "what the callback threw did not come through");
  m.look_at_status();
}
void each_that_fails(VerbModel& m) {
  int seen = 0;
  fails(m, "22012", [&] {
    m.connection().each("select 12 / (3 - n) from generate_series($1::int, 9) n", 1, [&](Row row) {
      must(row.get<int>(0) == (++seen == 1 ? 6 : 12), "a wrong quotient");
    });
  });
  must(seen == 2, "two rows were due, and ", seen, " came");
}
void each_within_each(VerbModel& m) {
  error_of<UsageError>("a statement in a callback", [&] {
    m.connection().each(kThree, 1, [&](const Row&) { m.connection().exec("select 1"); });
  });
  m.look_at_status();
}

// ---- batches ---------------------------------------------------------------------------------

void batch_of_one(VerbModel& m) {
  const int number = m.new_number();
  Batch batch;
  batch.add(kAsk, number);
  is_number(m.connection().run(batch)[0], number);
}
void batch_of_an_insert(VerbModel& m) {
  const int id = m.new_number();
  Batch batch;
  batch.add(kInsert, id, text_of(id)).add("select $1::int + 1", id);
  const BatchResults results = m.connection().run(batch);
  is_row(results[0], id);
  is_number(results[1], id + 1);
  m.stored(id);
}
template <int kSize>
void batch_of_many(VerbModel& m) {
  std::vector<int> ids;
  Batch batch;
  for (int i = 0; i < kSize; ++i) {
    ids.push_back(m.new_number());
    batch.add(kInsert, ids.back(), text_of(ids.back()));
  }
  const BatchResults results = m.connection().run(batch);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    is_row(results[i], ids[i]);
    m.stored(ids[i]);
  }
}
void batch_of_rows(VerbModel& m) {
  const int first = m.new_number();
  Batch batch;
  batch.add(kThree, first).add("set local tidegate.x = 1").add(kThree, first + 1);
  const BatchResults results = m.connection().run(batch, {.prepared = false});
  for (const std::size_t of : {0U, 2U}) {
    must(results[of].rows() == 3, "three rows were due, and ", results[of].rows(), " came");
    for (std::size_t i = 0; i < 3; ++i) {
      is_row(results[of][i], first + static_cast<int>(i) + (of == 0 ? 0 : 1));
    }
  }
}
void batch_that_fails(VerbModel& m) {
  const int id = m.new_number();
  Batch batch;
  batch.add(kInsert, id, text_of(id)).add("select 1 / $1::int", 0).add("select 1");
  const BatchResults results = m.connection().run(batch);
  is_row(results[0], id);
  must(results.failed() == 1U && results.error(1)->sqlstate() == "22012" && !results.ok(2),
       "not the second statement failed");
  m.statement_failed();
}

// ---- COPY ------------------------------------------------------------------------------------

using Tuple = std::tuple<int, std::string>;
const CopyTarget kTable{.table = "verbs", .columns = {"id", "val"}};

void copy_in(VerbModel& m) {
  std::vector<Tuple> rows;
  for (int i = 0; i < 3; ++i) {
    const int id = m.new_number();
    rows.emplace_back(id, text_of(id));
    m.stored(id);
  }
  const std::uint64_t copied = m.connection().copy_in(kTable, rows);
  must(copied == 3, "three rows were copied, ", copied, " are told");
}
// A range whose second row throws.
struct Throwing {
  int at = 0;
  Tuple operator*() const {
    if (at > 0) throw Thrown{};
    return {-1, "nobody's"};
  }
  Throwing& operator++() {
    ++at;
    return *this;
  }
  bool operator!=(const Throwing& other) const { return at != other.at; }
};
struct ThrowingRange {
  Throwing begin() const { return {}; }
  Throwing end() const { return {.at = 2}; }
};
void copy_in_that_throws(VerbModel& m) {
  bool thrown = false;
  try {
    m.connection().copy_in(kTable, ThrowingRange{});
  } catch (const Thrown&) {
    thrown = true;
  }
  must(thrown, "what the range threw did not come through");
  m.statement_failed();
}
void copy_in_that_is_refused(VerbModel& m) {
  const std::vector<std::tuple<std::string, std::string>> rows{{"no number", "x"}};
  fails(m, "22P02", [&] { m.connection().copy_in(kTable, rows); });
}
void copy_out(VerbModel& m) {
  int seen = 0;
  m.connection().copy_out("select n, 'v' || n from generate_series(1, 3) n",
                          [&](const Row& row) { is_row(row, ++seen); });
  must(seen == 3, "three rows were due, and ", seen, " came");
}
void copy_out_left_early(VerbModel& m) {
  int seen = 0;
  m.connection().copy_out(kEndless, [&](const Row& row) {
    is_row(row, ++seen);
    return seen < 2;
  });
  m.look_at_status();
}
void copy_out_that_throws(VerbModel& m) {
  bool thrown = false;
  try {
    m.connection().copy_out(kEndless, [](const Row&) { throw Thrown{}; });
  } catch (const Thrown&) {
    thrown = true;
  }
  must(thrown, "what the callback threw did not come through");
  m.look_at_status();
}
void copy_out_that_fails(VerbModel& m) {
  fails(m, "42P01", [&] { m.connection().copy_out("select * from nowhere", [](const Row&) {}); });
}

// ---- limits ----------------------------------------------------------------------------------

constexpr const char* kSleep = "select pg_sleep(100)";

void struck(VerbModel& m) {
  is_struck(m, [&] { m.connection().exec({.by = 2ms}, kSleep); });
}
void each_struck(VerbModel& m) {
  is_struck(m, [&] { m.connection().each({.by = 2ms}, kEndless, [](const Row&) {}); });
}
void batch_struck(VerbModel& m) {
  Batch batch;
  batch.add("select 1").add(kSleep);
  is_struck(m, [&] { static_cast<void>(m.connection().run(batch, {.by = 2ms})); });
}
void script_struck(VerbModel& m) {
  is_struck(
      m, [&] { m.connection().exec_script({.by = 2ms}, Sql("select 1; select pg_sleep(100)")); });
}
void over_before_it_began(VerbModel& m) {
  error_of<QueryTimeout>("a deadline that has passed", [&] {
    m.connection().exec({.by = Deadline::now()}, "insert into verbs values (-1, 'nobody''s')");
  });
}
void stopped_before_it_began(VerbModel& m) {
  std::stop_source stop;
  stop.request_stop();
  error_of<QueryCanceled>("a stop that was requested", [&] {
    m.connection().each({.stop = stop.get_token()}, kThree, 1, [](const Row&) {});
  });
}

// ---- beside statements -----------------------------------------------------------------------

void ping(VerbModel& m) { must(m.connection().ping(8s), "the server does not answer"); }
// Most often the answer is still to come when it returns.
void ping_in_no_time(VerbModel& m) { m.connection().ping(Deadline::now()); }
void cancel_nothing(VerbModel& m) {
  must(!m.connection().cancel(), "something was to be canceled between two statements");
}
void notify(VerbModel& m) {
  const std::string payload = std::to_string(m.new_number());
  m.connection().exec_script("listen gossip");
  m.connection().exec("select pg_notify('gossip', $1)", payload);
  const auto all = m.connection().notifications(8s);
  must(all.size() == 1 && all[0].payload == payload, "not the notification ", payload);
  m.connection().exec_script("unlisten gossip");
}
void hear_nothing(VerbModel& m) {
  must(m.connection().notifications(Deadline::now()).empty(), "a notification of nobody's");
}
void notice(VerbModel& m) {
  std::string heard;
  m.connection().set_notice_handler([&](const Notice& n) { heard = n.message; });
  const std::string said = std::to_string(m.new_number());
  m.connection().exec_script(Sql("do 'begin raise notice ''" + said + "''; end'"));
  m.connection().set_notice_handler({});
  must(heard == said, "the notice ", said, " was due, and this came: ", heard);
}

// ---- what forgets, and what libpq is used for beside us ----------------------------------------

void discard_all(VerbModel& m) { m.connection().exec_script("discard all"); }
void deallocate_all(VerbModel& m) { m.connection().exec("deallocate all"); }

struct Clear {
  void operator()(pg_result* result) const noexcept { PQclear(result); }
};
using Native = std::unique_ptr<pg_result, Clear>;

// The handle does not wait for the answer to a ping.
pg_conn* settled_handle(VerbModel& m) {
  ping(m);
  return m.connection().native_handle();
}

void native_query(VerbModel& m) {
  const Native result(PQexec(settled_handle(m), "select 42"));
  must(PQntuples(result.get()) == 1, "libpq itself gets ", PQntuples(result.get()), " rows; ",
       PQerrorMessage(m.connection().native_handle()));
}
void native_row_by_row(VerbModel& m) {
  pg_conn* const native = settled_handle(m);
  PQsendQuery(native, "select generate_series(1, 3)");
  PQsetSingleRowMode(native);
  int rows = 0;
  while (const Native result{PQgetResult(native)}) rows += PQntuples(result.get());
  must(rows == 3, "libpq itself gets ", rows, " rows; ", PQerrorMessage(native));
}
void native_pipeline(VerbModel& m) {
  pg_conn* const native = settled_handle(m);
  PQenterPipelineMode(native);
  PQsendQueryParams(native, "select 1", 0, nullptr, nullptr, nullptr, nullptr, 0);
  PQpipelineSync(native);
  while (const Native result{PQgetResult(native)}) continue;
  const Native sync(PQgetResult(native));
  must(PQexitPipelineMode(native) == 1, "libpq itself stays in pipeline mode");
}

// ---- transactions ----------------------------------------------------------------------------

void transact(VerbModel& m) {
  if (m.in_transaction()) {
    error_of<UsageError>("a second transaction",
                         [&] { m.connection().transact([](Transaction&) {}); });
    return;
  }
  const int id = m.new_number();
  m.connection().transact([&](Transaction& tx) { is_row(tx.exec(kInsert, id, text_of(id)), id); });
  m.stored(id);
}
void transact_that_throws(VerbModel& m) {
  bool thrown = false;
  try {
    m.connection().transact([&](Transaction& tx) {
      const int id = m.new_number();
      tx.exec(kInsert, id, text_of(id));
      throw Thrown{};
    });
  } catch (const Thrown&) {
    thrown = true;
  }
  must(thrown, "what the function threw did not come through");
}

constexpr Verb kVerbs[] = {
    {"exec", ask},
    {"exec, unprepared", ask_unprepared},
    {"exec of a new text", ask_something_new},
    {"exec of an insert", insert},
    {"query_row of two rows", two_rows_where_one_is_due},
    {"exec that fails", divide_by_zero},
    {"exec that fails at its end", break_at_the_end, false},
    {"exec_script", script},
    {"exec_script that fails", script_that_fails},
    {"exec of what cannot be sent", parameter_that_cannot_be_sent},
    {"exec of a COPY", copy_through_exec},
    {"prepare", prepare},
    {"each", each},
    {"each, unprepared", each_unprepared},
    {"each of an insert", each_inserts},
    {"each of no rows", each_of_nothing},
    {"each left early", each_left_early},
    {"each that throws", each_that_throws},
    {"each that fails", each_that_fails},
    {"exec within each", each_within_each},
    {"batch of one", batch_of_one},
    {"batch of an insert", batch_of_an_insert},
    {"batch of three inserts", batch_of_many<3>},
    {"batch of 300 inserts", batch_of_many<300>},
    {"batch of rows", batch_of_rows},
    {"batch that fails", batch_that_fails},
    {"copy_in", copy_in},
    {"copy_in that throws", copy_in_that_throws},
    {"copy_in that is refused", copy_in_that_is_refused},
    {"copy_out", copy_out},
    {"copy_out left early", copy_out_left_early},
    {"copy_out that throws", copy_out_that_throws},
    {"copy_out that fails", copy_out_that_fails},
    {"exec struck by its deadline", struck},
    {"each struck by its deadline", each_struck},
    {"batch struck by its deadline", batch_struck},
    {"exec_script struck by its deadline", script_struck},
    {"exec over before it began", over_before_it_began},
    {"each stopped before it began", stopped_before_it_began},
    {"ping", ping},
    {"ping in no time", ping_in_no_time},
    {"cancel of nothing", cancel_nothing},
    {"notifications", notify, false},
    {"no notifications", hear_nothing},
    {"notice", notice},
    {"discard all", discard_all, false},
    {"deallocate all", deallocate_all},
    {"PQexec", native_query},
    {"PQsetSingleRowMode", native_row_by_row},
    {"PQenterPipelineMode", native_pipeline},
    {"transact", transact},
    {"transact that throws", transact_that_throws, false},
};

}  // namespace

std::span<const Verb> all_verbs() { return kVerbs; }

}  // namespace tidegate::stress
