// Session: what a Connection holds: libpq's connection and the query loop on it.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include <tidegate/base/deadline.hpp>
#include <tidegate/base/location.hpp>
#include <tidegate/base/sql.hpp>
#include <tidegate/pq/exec_options.hpp>
#include <tidegate/pq/notice.hpp>
#include <tidegate/pq/params.hpp>
#include <tidegate/pq/session_state.hpp>

#include "pq/open_transaction.hpp"
#include "pq/result.hpp"

struct pg_conn;  // libpq's PGconn

namespace tidegate::pq {

struct FinishConnection {
  void operator()(pg_conn* connection) const noexcept;
};
using NativePtr = std::unique_ptr<pg_conn, FinishConnection>;

// libpq's connection is kept in non-blocking mode, so that no call of libpq waits: the loop here
// does, and can be given a deadline.
//
// Broken: set once, by the first proof that the session has ended (an EOF, a transport error, a
// FATAL error or notice). PQfinish is left to the owner.
class Session final : public SessionState {
 public:
  // Takes over a connection that PQconnectStart has just begun; from here on its notices come here.
  explicit Session(NativePtr native) noexcept;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() { leave_transaction(); }

  pg_conn* native() const noexcept { return native_.get(); }
  // The connect has succeeded.
  void opened() noexcept;

  // A statement: start() gives the parameters to fill, run() sends them and returns the result.
  // Both throw as Connection's verbs.
  Params& start(const Sql& sql, const ExecOptions& options);
  std::unique_ptr<Result> run();
  void run_script(const Sql& sql);

  void bound(Deadline by, std::stop_token stop) noexcept {
    bound_by_ = by;
    bound_stop_ = std::move(stop);
  }

  // The transaction whose deadline bounds every statement, until leave_transaction(). Its
  // Transaction objects lose the session then.
  void enter_transaction(std::shared_ptr<OpenTransaction> transaction) noexcept {
    leave_transaction();
    transaction_ = std::move(transaction);
  }
  void leave_transaction() noexcept {
    if (transaction_ != nullptr) std::exchange(transaction_, nullptr)->session = nullptr;
  }

  PingResult ping(Deadline deadline) noexcept;
  SocketCheck check_socket() noexcept;
  bool end_touched_lease() noexcept;
  pg_conn* hand_out() noexcept;
  void set_notice_handler(NoticeHandler handler);

  std::string_view broken_reason() const noexcept { return broken_reason_; }

 private:
  friend class tidegate::Connection;  // begin(), for run(Batch)
  friend class BatchRun;
  friend class CopyIn;
  friend class CopyOut;
  friend class Pipeline;

  // stream.cpp
  void start_copy(const Sql& sql, const ExecOptions& options, int direction);
  bool await_sent(Deadline deadline) noexcept;
  bool await_data(Deadline deadline) noexcept;
  short await_ready(short events, Deadline deadline) noexcept;

  // query.cpp
  void begin(const Sql& sql, const ExecOptions& options);
  ResultPtr collect();
  void end_copy(int status);
  bool await_result(Deadline deadline) noexcept;
  bool wait_and_read(short events, Deadline deadline) noexcept;
  [[noreturn]] void throw_unsent();
  [[noreturn]] void throw_error(const pg_result* result);
  [[noreturn]] void throw_lost(QueryReport report);
  [[noreturn]] void throw_usage(std::string_view why) const;
  void require_success(const pg_result* result, bool copied);

  // session.cpp
  void set_broken(std::string_view reason) noexcept;
  void note_end_of_session(const pg_result* result) noexcept;
  void install_callbacks() noexcept;
  void receive(const pg_result* notice) noexcept;
  static void receive_notice(void* session, const pg_result* notice);

  NativePtr native_;
  int backend_pid_ = 0;  // at the start: PQreset() through the native handle changes it
  std::string broken_reason_{};

  // The statement under way. The buffers are kept from call to call.
  std::string statement_{};
  Location where_{};
  Params params_{};
  ExecOptions options_{};
  bool mid_answer_ = false;  // something was read since it was sent

  // What bounds every statement (bound()).
  Deadline bound_by_{};
  std::stop_token bound_stop_{};

  std::shared_ptr<OpenTransaction> transaction_{};  // null = none was begun by begin()

  NoticeHandler standing_handler_{};
  NoticeHandler lease_handler_{};
};

// libpq's last words on one line, without the final newline.
std::string last_words(const pg_conn* connection);

}  // namespace tidegate::pq
