// Session: what a Connection holds: libpq's connection and the query loop on it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/fork.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/base/sql.hpp>
#include <tidegate/pq/attachment.hpp>
#include <tidegate/pq/cancel_group.hpp>
#include <tidegate/pq/exec_options.hpp>
#include <tidegate/pq/file_descriptor.hpp>
#include <tidegate/pq/notice.hpp>
#include <tidegate/pq/params.hpp>
#include <tidegate/pq/row.hpp>
#include <tidegate/pq/session_monitor.hpp>
#include <tidegate/pq/session_state.hpp>
#include <tidegate/pq/verb.hpp>

#include "pq/cancel/canceller.hpp"
#include "pq/large_send.hpp"
#include "pq/native.hpp"
#include "pq/observed_query.hpp"
#include "pq/open_transaction.hpp"
#include "pq/peer.hpp"
#include "pq/result.hpp"
#include "pq/shared_session.hpp"
#include "pq/statement_cache.hpp"
#include "pq/statement_limits.hpp"
#include "pq/wait.hpp"

struct pg_conn;  // libpq's PGconn

namespace tidegate::pq {

struct ConnectOptions;

// libpq's connection is kept in non-blocking mode, so that no call of libpq waits: the loop here
// waits instead, because it can have a deadline.
//
// Broken: set once, by the first proof that the session has ended (an EOF, a transport error, a
// FATAL error or notice). PQfinish is left to the owner.
class Session final : public SessionState {
 public:
  // Takes over a connection that PQconnectStart has just begun, and its notices from here on.
  // `on_notice`: ConnectOptions'. Throws: std::bad_alloc.
  explicit Session(NativePtr native, NoticeHandler on_notice = {});
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  pg_conn* native() const noexcept { return native_.get(); }
  // The server process, also of a session that is lost: libpq says 0 then.
  int backend_pid() const noexcept;
  // The connect has succeeded. Throws: std::bad_alloc.
  void opened(const ConnectOptions& options, CancelKey key);

  // A statement: start() gives the parameters to fill, run() sends them and returns the result.
  // Both throw as Connection's verbs.
  Params& start(const Sql& sql, const ExecOptions& options);
  std::unique_ptr<Result> run();
  void run_script(const Sql& sql, const ExecOptions& options);
  // Call before any look at the state of the transaction: waits, as a statement with these options
  // would, for the answer that an earlier call has left to come. Throws as if nothing was sent.
  void settle(const ExecOptions& options, Location where);

  // The same, but hands the rows to `sink` one by one, until `sink` returns false.
  using RowSink = bool (*)(void* context, const Row& row);
  void stream(RowSink sink, void* context);
  void prepare_only(const Sql& sql);
  // The notifications that have come, or the first to come before the deadline and the stop.
  std::vector<Notification> notifications(Deadline deadline, const std::stop_token& stop,
                                          Location where);

  void bound(Deadline by, std::stop_token stop) noexcept { limits_.bound(by, std::move(stop)); }

  // Sets the transaction whose deadline bounds every statement, until leave_transaction(), with
  // which its Transaction objects lose the session.
  void enter_transaction(std::shared_ptr<OpenTransaction> transaction) noexcept {
    leave_transaction();
    transaction_ = std::move(transaction);
  }
  void leave_transaction() noexcept {
    if (transaction_ != nullptr) std::exchange(transaction_, nullptr)->session = nullptr;
  }

  PingResult ping(Deadline deadline, const std::stop_token& stop = {}) noexcept;
  SocketCheck check_socket() noexcept;
  // Any thread. See SharedSession.
  bool cancel() const noexcept { return shared_->cancel(); }
  CancelTrace cancel_trace() const noexcept { return target().trace(); }
  void cancel_settled() noexcept;
  // When requests were delivered, or taken: how long the session has to stay quiet, besides a round
  // trip, until none of them can strike any more. Unset: this depends on the peer, so the server
  // has to be asked (kPeerQuestion).
  std::optional<std::chrono::milliseconds> cancel_quiet() noexcept;
  // The same for requests that are under way, or doubtful, but have had their effect (used_up()).
  std::chrono::milliseconds cancel_echo() const noexcept;
  bool cancels_used_up() const noexcept { return target().used_up(); }
  void forget_cancels() noexcept;
  // Takes the answer to kPeerQuestion; 0: there was none.
  void note_peer(std::uint16_t port_seen) noexcept;
  void cancel_left_running() noexcept;
  Activity activity() const { return shared_->mirror.read(); }
  SessionMonitor monitor() const noexcept { return SessionMonitor(shared_); }
  bool end_touched_lease() noexcept;
  std::unique_ptr<Attachment>& attachment();
  pg_conn* hand_out() noexcept;
  void watch_role() noexcept;
  Role role() noexcept;
  // The question to a server of a doubtful role. The answer "t" means that its role has changed.
  const char* role_question() const noexcept;
  // The answer was another one.
  void role_settled() noexcept;
  void set_notice_handler(NoticeHandler handler);
  void end_login() noexcept;

  // From here on the observer is told of every verb. Throws: std::bad_alloc.
  void observe(std::shared_ptr<QueryObserver> observer);
  // `acquired_at`: finds the acquire of the lease that the connection is in. Null: it is in none.
  using AcquiredAt = Location (*)(const void* pool, const Connection& connection) noexcept;
  void set_acquired_at(AcquiredAt acquired_at, const void* pool) noexcept;

  // Null: no verb is under way.
  Verb* verb() const noexcept { return verb_; }
  // Throws: UsageError when a verb is under way: its callback must not use the connection.
  void refuse_in_verb(Location where) const;
  // Throws: UsageError when code that the verb called has ended its lease or the connection.
  void require_going_on() const;
  void close_behind_verb() noexcept;

  std::string_view broken_reason() const noexcept;
  // This process is a fork() child of the one that opened the session, and may only forget it.
  bool inherited() const noexcept { return shared_ != nullptr && shared_->inherited(); }
  bool through_pooler() const noexcept { return pooled_; }

 private:
  friend class tidegate::Connection;  // begin(), for run(Batch)
  friend class BatchRun;
  friend class CopyIn;
  friend class CopyOut;
  friend class LaneRound;
  friend class Pipeline;
  friend class Verb;
  friend class SessionReset;

  // A scope from sending a statement to the end of its answer; the scope's end ends the statement.
  class Running {
   public:
    explicit Running(Session& session) noexcept : mode_(session.native()), session_(session) {
      session_.begin_statement();
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    ~Running() {
      session_.end_statement();
      if (session_.has(Flag::native)) session_.await_cancels();  // its user may go on with it
    }

   private:
    NonBlocking mode_;
    Session& session_;
  };
  // Leaves the COPY under way at the end of the scope, however the scope ends.
  struct LeavingCopy {
    Session& session;
    ~LeavingCopy() { session.leave_copy(); }
  };

  // copying.cpp
  void start_copy(const Sql& sql, const ExecOptions& options, int direction);
  void leave_copy() noexcept;
  void await_sent() noexcept;
  bool await_room(short& seen) noexcept;
  void strike_if_over() noexcept;
  void drain_copy_out() noexcept;
  ResultPtr collect();

  struct Answer {
    ResultPtr result{};
    bool copied = false;  // the statement was a COPY, now at its end
  };
  // Rows on their way to a sink.
  struct Stream {
    RowSink sink;
    void* context;
    Result& row;
    bool left = false;  // the sink wants no more rows
    bool cut = false;   // a limit was reached: the sink did not get all rows
  };

  // query.cpp
  void begin(const Sql& sql, const ExecOptions& options);
  void begin_statement() noexcept;
  void end_statement() noexcept;
  Answer execute(Stream* rows);
  void send(bool row_by_row);
  void send_text();
  ResultPtr next_result(bool may_copy = false) noexcept;
  void end_copy(int status);
  bool await_result(Deadline deadline, int bell = -1) noexcept;
  Waited wait_and_read(short events, Deadline deadline, int bell) noexcept;
  [[noreturn]] void throw_unsent();
  [[noreturn]] void throw_error(const pg_result* result);
  [[noreturn]] void throw_error(QueryReport report);
  [[noreturn]] void throw_broken();
  [[noreturn]] void throw_lost(QueryReport report);
  void add_last_words(QueryReport& report) const;
  [[noreturn]] void throw_usage(std::string_view why) const;
  void require_success(const pg_result* result, bool copied);
  void not_asked_for(std::string_view what) noexcept;

  // observe.cpp
  ObservedQuery* observed() const noexcept;
  void observe_begin(const Sql& sql, std::size_t statements = 1);
  void tell_start(const Params* params = nullptr) noexcept {
    if (observed_) [[unlikely]]
      observed()->start(params);
  }
  void tell_sent() const noexcept {
    if (observed_) [[unlikely]]
      observed()->sent();
  }
  void tell_failure(Errc error, const QueryReport* report = nullptr) const noexcept {
    if (observed_) [[unlikely]]
      observed()->fail(error, report);
  }

  // large_send.cpp
  using SendCall = bool (*)(void* context);
  bool sends_beside(std::size_t bytes) const noexcept {
    return bytes >= kWorthAThread && limits_.any();
  }
  bool send_large(std::size_t bytes, SendCall call, void* context);
  bool send_beside(SendCall call, void* context);
  void await_sender(int sent) noexcept;
  // Calls `send`, one of libpq's PQsend...() of so many bytes.
  template <class Send>
  bool send_sized(std::size_t bytes, Send&& send) {
    if (bytes < kLargeStatement) [[likely]]
      return send() == 1;
    return send_large(
        bytes, [](void* s) { return (*static_cast<std::remove_reference_t<Send>*>(s))() == 1; },
        &send);
  }

  // stream.cpp
  enum class Asked : std::uint8_t { one_statement, script };
  Answer read_answer(Stream* rows, Asked asked = Asked::one_statement);
  bool is_left_inside() const noexcept;
  void left_inside() noexcept;
  void hand_on(Stream& rows, ResultPtr result);
  void leave(Stream& rows) noexcept;

  // pipeline.cpp
  bool enter_pipeline_mode() noexcept;

  // prepare.cpp Whether the message Close ends a statement (libpq 17 and later). Close reaches what
  // a pooler that maps names calls by one; a DEALLOCATE does not.
  static bool closes_names() noexcept;
  struct Prepare {
    ResultPtr told{};     // the description, or the first error, or the session's last words
    bool parsed = false;  // from there on the server has the statement
  };
  bool is_cached(const ExecOptions& options) const noexcept;
  const Prepared* prepare();
  const Prepared* prepare_as(const std::vector<std::uint32_t>& types);
  static std::vector<std::uint32_t> declared_types(const Params& params);
  static std::vector<std::uint32_t> described_types(const pg_result* result);
  const Prepared* add_described(std::uint32_t number, std::string_view text,
                                const std::vector<std::uint32_t>& declared,
                                const pg_result* described);
  static std::string deallocation_of(const std::string& name);
  static bool send_deallocation(pg_conn* connection, const std::string& deallocation) noexcept;
  static bool is_short_enough_to_prepare(std::string_view text) noexcept;
  void require_sent(bool sent);
  Prepare read_prepare(int parts);
  static bool is_of_changed_result(const pg_result* error) noexcept;
  int result_format(const Prepared& prepared) const noexcept;
  Stale staleness(const Prepared* prepared, const pg_result* result) const noexcept;
  void forget(const Prepared* prepared, Stale why);
  void note_command(const pg_result* result, std::string_view sql,
                    const Prepared* prepared) noexcept;
  const Prepared* find_prepared(std::string_view text);
  std::vector<std::uint32_t> types_now(const Prepared* prepared, Stale why);
  void send_as_text(const std::vector<std::uint32_t>& types, bool row_by_row);

  // lost_state.cpp
  void warn_of_lost_state(std::string_view sql);
  void refuse_to_listen() const;

  // shared_statements.cpp
  const Prepared* prepare_shared();
  std::vector<std::uint32_t> types_now_shared(const Prepared* prepared, Stale why);
  void take_edition();
  std::vector<std::uint32_t> types_without_name(unsigned seconds = 10);
  Prepare look(unsigned seconds);
  bool is_of_another(const Prepare& answer) const noexcept;
  bool is_of_another_text(const pg_result* result, std::string_view text) const noexcept;

  // limits.cpp
  CancelTarget& target() const noexcept { return *shared_->target; }
  void arm_limits();
  PingResult ping_until(Deadline deadline, int bell) noexcept;
  void await_answer() noexcept;
  void await_socket(short events) noexcept;
  void keep_to_limits() noexcept;
  void strike(Limit why) noexcept;
  void ask_to_cancel() noexcept;
  void give_up(std::string_view why) noexcept;
  void give_up_unanswered(std::string_view what) noexcept;
  void cut_off() noexcept;
  void give_up_canceling() noexcept;
  void note_strike(Limit why) noexcept;
  void refuse_if_over(std::string_view waited_for);
  void settle_ping();
  Deadline end_of_cancels() const;
  void settle_cancels();
  void await_cancels() noexcept;
  [[noreturn]] void throw_ended(Limit why, QueryReport report);
  [[noreturn]] void throw_not_run();

  // session.cpp
  void set_broken(std::string_view reason, std::string_view sqlstate = {}) noexcept;
  void note_end_of_session(const pg_result* result) noexcept;
  void install_callbacks() noexcept;
  bool take_back() noexcept;
  bool says_on(const char* parameter) const noexcept;
  void receive(const pg_result* notice) noexcept;
  void notify(const Notice& notice) noexcept;
  static void receive_notice(void* session, const pg_result* notice);
  static void in_child(void* session) noexcept;

  // What few sessions have.
  struct Seldom {
    NoticeHandler standing{};
    NoticeHandler lease{};
    bool of_login = false;  // `standing` is ConnectOptions' handler
    std::unique_ptr<Attachment> attachment{};
    std::unique_ptr<ObservedQuery> observed{};
    AcquiredAt acquired_at = nullptr;
    const void* pool = nullptr;
  };

  // A pool has one Session for each connection, so members that few sessions need are made on
  // demand, and the small members stand together.
  NativePtr native_;
  int backend_pid_ = 0;  // at the start: PQreset() through the native handle changes it
  bool pooled_ = false;  // a pooler is in between
  // Bits: a pool has one of these for each connection (E7).
  bool forgets_ : 1 = false;       // the pooler says that each transaction gets another session
  bool shares_names_ : 1 = false;  // the pooler gives equal texts one statement, or may do so
  bool lost_a_name_ : 1 = false;   // a statement was gone, and nobody was seen to deallocate it
  bool watches_role_ : 1 = false;
  bool refused_write_ : 1 = false;         // 25006 came: no proof, BEGIN READ ONLY gives it, too
  bool greeted_as_standby_ : 1 = false;    // in_hot_standby was on at the start: no news
  bool read_only_by_choice_ : 1 = false;   // default_transaction_read_only is on, which is no news
  bool read_only_from_start_ : 1 = false;  // it was on when the connection was opened
  bool may_be_undone_ : 1 = false;         // a rollback may undo what changed the meaning of texts
  bool owes_quiet_ : 1 = false;  // a cancel is over for this lease, but may strike the next
  bool in_doubt_ : 1 = false;    // a cancel may strike at any time: nobody waits for it again
  bool outside_ : 1 = false;     // no transaction was open when the statement began
  bool observed_ : 1 = false;    // observed() is not null
  Peer peer_ = Peer::unknown;
  // Of the statement under way.
  bool mid_answer_ = false;  // something was read since it was sent
  bool streaming_ = false;
  bool copying_ = false;   // between start_copy() and leave_copy()
  bool noticing_ = false;  // the notice handler runs
  struct Broken {
    std::string reason;    // "57P01: terminating ..." where the server has said so
    std::string sqlstate;  // and its code in that case
  };
  std::unique_ptr<const Broken> broken_{};

  Verb* verb_ = nullptr;  // the call under way

  // The statement under way. The buffers are kept from call to call.
  std::string statement_{};
  Location where_{};
  Params params_{};
  ExecOptions options_{};
  const Prepared* prepared_ = nullptr;  // owned by the cache
  StatementCache cache_{0};

  std::shared_ptr<OpenTransaction> transaction_{};  // null: begin() has begun none

  StatementLimits limits_{};

  // Shared with other threads; set when the connect has succeeded.
  std::shared_ptr<SharedSession> shared_{};

  std::unique_ptr<Seldom> seldom_{};  // null: none of it was ever set

  detail::ForkHook at_fork_{};  // begins when the connect has succeeded
};

}  // namespace tidegate::pq
