// Errors as values and as exceptions: the codes, the base class, and the record of who closed a
// pool. Query errors are in pq/errors.hpp, pool errors in pool/errors.hpp.
#pragma once

#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <tidegate/base/export.hpp>
#include <tidegate/base/location.hpp>

namespace tidegate {

enum class Errc {
  closed,           // the pool is closed, or closing
  timeout,          // a deadline passed
  canceled,         // a stop_token was triggered
  overloaded,       // max_waiters reached
  unavailable,      // the server cannot be reached
  rejected,         // the server refuses us (password, database, ...)
  hook,             // a user hook said fail, or threw
  would_deadlock,   // only this thread could end the wait
  forked,           // used in a child after fork()
  config,           // bad configuration
  query,            // the server reported an error, or a result is not what was asked for
  connection_lost,  // the connection broke under a query
  usage,            // the call itself is wrong
};

inline constexpr std::size_t kErrcCount = 13;

// "closed", "timeout", ...: the spelling used in statistics and messages.
TIDEGATE_API std::string_view to_string(Errc code) noexcept;

// Base of every exception of the library. what() is complete; its first line alone is useful.
//
// what(), the to_string() of reports and their JSON may go to a terminal or a log as they are,
// whatever a server, an application or a name has put into them: control characters appear as
// "\x1b", bytes that are not UTF-8 as "\xff" (in JSON as JSON escapes, and as U+FFFD). Each such
// text shows its first 8 KiB, a what() its first 64 KiB, followed by "... (N bytes more)". Fields
// (QueryError::message(), CloseRecord::reason, LeaseInfo::statement, ...) are raw and whole, for
// programs.
class TIDEGATE_API Error : public std::runtime_error {
 public:
  Error(Errc code, const std::string& text, Location where = {});
  Error(const Error&) = default;
  Error& operator=(const Error&) = default;
  ~Error() override;

  Errc code() const noexcept { return code_; }
  // The call in the user's source that failed.
  Location where() const noexcept { return where_; }

 private:
  Errc code_;
  Location where_;
};

// The call itself is wrong: a released lease is used, a negative phase is given, ...
class TIDEGATE_API UsageError : public Error {
 public:
  explicit UsageError(const std::string& text, Location where = {})
      : Error(Errc::usage, text, where) {}
  ~UsageError() override;
};

// An inherited pool or connection is used in a child after fork().
class TIDEGATE_API Forked : public Error {
 public:
  explicit Forked(const std::string& text, Location where = {})
      : Error(Errc::forked, text, where) {}
  ~Forked() override;
};

// Who closed a pool. Plain data.
struct CloseRecord {
  Location where{};
  long thread_id = 0;         // the kernel's id of the closing thread
  std::string thread_name{};  // as it was when the pool was closed
  std::chrono::steady_clock::time_point when{};
  std::string reason{};
  std::string phase{};  // the phase of the close when this record was taken
};

namespace detail {

// The text of the exception that this thread is handling, of any type; valid while it is handled.
// Needs: an exception is being handled.
TIDEGATE_API const char* what_is_handled() noexcept;

}  // namespace detail

// An error as a value: what Expected holds. Cheap to make and to copy: the text is built when
// somebody asks for it, so a storm of refused acquires does not format a storm of texts.
class TIDEGATE_API ErrorValue {
 public:
  // Holds a finished error of type E, which raise() throws as E.
  template <class E>
    requires std::is_base_of_v<Error, E>
  static ErrorValue of(E error) {
    const Errc code = error.code();
    const Location where = error.where();
    return ErrorValue(code, where, std::make_shared<const Built<E>>(std::move(error)));
  }
  // As of(), but `make` (returning E) runs at the first what(), as() or raise(), on the calling
  // thread, once. It must not throw anything but std::bad_alloc.
  template <class E, class Make>
    requires std::is_base_of_v<Error, E>
  static ErrorValue lazy(Errc code, Location where, Make make) {
    return ErrorValue(code, where, std::make_shared<const Lazy<E, Make>>(std::move(make)));
  }

  Errc code() const noexcept { return code_; }
  Location where() const noexcept { return where_; }
  // The text that the throwing verb's exception would carry; valid as long as this value lives.
  const char* what() const { return source_->error().what(); }
  // The error as an E, or null when it is something else.
  template <class E>
  const E* as() const {
    return dynamic_cast<const E*>(&source_->error());
  }
  // Throws what the throwing verb would have thrown.
  [[noreturn]] void raise() const {
    source_->raise();
    std::terminate();
  }

 private:
  struct Source {
    virtual ~Source() = default;
    virtual const Error& error() const = 0;
    virtual void raise() const = 0;
  };
  template <class E>
  struct Built final : Source {
    explicit Built(E e) : held(std::move(e)) {}
    const Error& error() const override { return held; }
    void raise() const override { throw E(held); }
    E held;
  };
  template <class E, class Make>
  struct Lazy final : Source {
    explicit Lazy(Make m) : make(std::move(m)) {}
    const E& get() const {
      std::call_once(once, [this] { held = std::make_unique<E>(make()); });
      return *held;
    }
    const Error& error() const override { return get(); }
    void raise() const override { throw E(get()); }
    Make make;
    mutable std::once_flag once{};
    mutable std::unique_ptr<E> held{};
  };

  ErrorValue(Errc code, Location where, std::shared_ptr<const Source> source)
      : code_(code), where_(where), source_(std::move(source)) {}

  Errc code_;
  Location where_;
  std::shared_ptr<const Source> source_;
};

}  // namespace tidegate
