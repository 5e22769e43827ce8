// Location: where in the user's source a call was made.
#pragma once

#include <string>
#include <string_view>
#include <version>

#include <tidegate/base/export.hpp>

#if defined(__cpp_lib_source_location)
#include <source_location>
#endif

namespace tidegate {

#if !defined(__cpp_lib_source_location)
// The class has another layout here, so the linker sees another name: a program without
// std::source_location fails to link with a library that was built with it, instead of crashing.
inline namespace without_source_location {
#endif

// File, line and function of a call site, as `Location where = Location::current()` in the last
// parameter of a public verb. Trivially copyable and cheap to pass (one pointer where
// std::source_location exists); text is made only when somebody reads it.
class Location {
 public:
  constexpr Location() noexcept = default;  // "unknown"

#if defined(__cpp_lib_source_location)
  static constexpr Location current(
      std::source_location site = std::source_location::current()) noexcept {
    Location here;
    here.site_ = site;
    return here;
  }
  constexpr unsigned line() const noexcept { return site_.line(); }
#else
  static constexpr Location current(const char* file = __builtin_FILE(),
                                    unsigned line = __builtin_LINE(),
                                    const char* function = __builtin_FUNCTION()) noexcept {
    Location here;
    here.file_ = file;
    here.line_ = line;
    here.function_ = function;
    return here;
  }
  constexpr unsigned line() const noexcept { return static_cast<unsigned>(line_); }
#endif

  // The last two components of the path ("src/server.cpp"); empty when unknown.
  TIDEGATE_API std::string_view file() const noexcept;
  // The qualified name ("Server::stop") where the compiler gives it, else the bare one; a lambda
  // shows its enclosing function where known.
  TIDEGATE_API std::string function() const;
  // "Server::stop (src/server.cpp:88)", or "unknown place".
  TIDEGATE_API std::string to_string() const;
  constexpr bool known() const noexcept { return line() != 0; }

 private:
#if defined(__cpp_lib_source_location)
  constexpr const char* raw_file() const noexcept { return site_.file_name(); }
  constexpr const char* raw_function() const noexcept { return site_.function_name(); }

  std::source_location site_{};
#else
  constexpr const char* raw_file() const noexcept { return file_; }
  constexpr const char* raw_function() const noexcept { return function_; }

  const char* file_ = "";
  const char* function_ = "";
  unsigned long line_ = 0;
#endif
};

#if !defined(__cpp_lib_source_location)
}  // namespace without_source_location
#endif

namespace detail {
// Cuts a compiler's pretty function ("void ns::Server::stop(int) const", "main()::<lambda()>") to
// the qualified name without template arguments ("ns::Server::stop"); "(lambda)" is appended for a
// lambda ("main(lambda)"). Returns unchanged what it cannot read. Exposed for its tests.
TIDEGATE_API std::string qualified_name(std::string_view pretty);
// The last two components of a path.
TIDEGATE_API std::string_view short_path(std::string_view path) noexcept;
}  // namespace detail

}  // namespace tidegate
