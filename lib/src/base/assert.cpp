#include <tidegate/base/assert.hpp>

#include <charconv>
#include <cstdlib>
#include <string_view>

#include <unistd.h>

#include <tidegate/base/location.hpp>

namespace tidegate::detail {

// The state is broken, so nothing here allocates, locks or uses stdio.
void invariant_broken(const char* invariant, const char* condition, const char* file,
                      int line) noexcept {
  char text[1024];
  std::size_t size = 0;
  const auto append = [&](std::string_view part) {
    for (const char c : part) {
      if (size < sizeof text - 1) text[size++] = c;
    }
  };

  char digits[16];
  const auto number = std::to_chars(digits, digits + sizeof digits, line);
  append("tidegate: invariant ");
  append(invariant);
  append(" broken: ");
  append(condition);
  append(" (");
  append(short_path(file));
  append(":");
  append({digits, static_cast<std::size_t>(number.ptr - digits)});
  append(")");
  text[size++] = '\n';

  for (std::size_t done = 0; done < size;) {
    const ssize_t n = ::write(STDERR_FILENO, text + done, size - done);
    if (n <= 0) break;
    done += static_cast<std::size_t>(n);
  }
  std::abort();
}

}  // namespace tidegate::detail
