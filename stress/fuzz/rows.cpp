// Values of results: whatever bytes a server sends for a type, in text or binary form, reading them
// gives a value that is one, or a QueryError on one line. What was read is sent and read back as it
// was, and both forms of a number, a uuid, a bytea are read as the same.
#include <tidegate/tidegate.hpp>

#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "target.hpp"
#include "unit/pq/made_rows.hpp"

namespace tidegate::fuzz {
namespace {

using pq_test::make_rows;

constexpr Oid kTypes[] = {16,   17,   18,   19,   20,   21,   23,   25,   26,   114,
                          700,  701,  705,  1042, 1043, 1082, 1114, 1184, 1700, 2278,
                          2950, 3802, 1000, 1001, 1007, 1009, 1115, 1182, 16385};

// What the kinds of values promise beyond their type.
template <class T>
void check_value(const T& value, const std::string& shown) {
  if constexpr (std::is_same_v<T, std::chrono::year_month_day>) {
    expect(value.ok(), "a date that is read is one", shown);
  }
}

// NaN is not equal to itself.
template <class T>
bool same(const T& a, const T& b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a) && std::isnan(b)) return true;
  }
  return a == b;
}

template <class T>
std::optional<T> read(Oid type, int format, const std::string& bytes, const std::string& shown) {
  const Rows rows = make_rows({{"value", type, format}}, {{bytes}});
  try {
    return rows[0].template get<T>(0);
  } catch (const QueryError& error) {
    expect(error.message().find('\n') == std::string::npos && error.message().size() < 300,
           "a refusal is one short line", shown);
    return std::nullopt;
  }
}

// The value as it is sent, and as the server would send it back: the parameter's type is unknown to
// the library then, so it goes as text.
template <class T>
void check_round_trip(const T& value, Oid type, const std::string& shown) {
  const auto sent = pq_test::sent(value);
  expect(sent.has_value(), "a value is not sent as NULL", shown);
  const auto back = read<T>(type, 0, *sent, shown);
  expect(back && same(*back, value), "what is sent is read back",
         shown + ", sent " + printable(*sent));
}

template <class T>
void check(Oid type, int format, const std::string& bytes) {
  const std::string shown = "type " + std::to_string(type) + (format == 1 ? " binary " : " text ") +
                            printable(bytes) + " as " + pq::cpp_name<T>();
  const auto value = read<T>(type, format, bytes, shown);
  if (!value) return;
  check_value(*value, shown);
  constexpr bool is_number = std::is_arithmetic_v<T> && !std::is_same_v<T, bool>;
  if constexpr (is_number || std::is_same_v<T, Uuid>) check_round_trip(*value, type, shown);
  if constexpr (std::is_same_v<T, std::chrono::year_month_day>) {
    check_round_trip(*value, 1082, shown);
  }
  using std::chrono::microseconds;
  if constexpr (std::is_same_v<T, std::chrono::sys_time<microseconds>>) {
    check_round_trip(*value, 1184, shown);
  }
  if constexpr (std::is_same_v<T, std::chrono::local_time<microseconds>>) {
    check_round_trip(*value, 1114, shown);
  }
  // Of the types whose text does not depend on the session.
  if constexpr (is_number || std::is_same_v<T, bool> || std::is_same_v<T, Uuid> ||
                std::is_same_v<T, std::vector<std::byte>>) {
    if (format == 0) return;
    const auto text = read<std::string>(type, format, bytes, shown);
    expect(text.has_value(), "what is read in binary form has a text", shown);
    const auto by_text = read<T>(type, 0, *text, shown);
    expect(by_text && same(*by_text, *value), "both forms are read as the same",
           shown + ", as text " + printable(*text));
  }
}

template <class... Ts>
void check_each(Oid type, int format, const std::string& bytes) {
  (check<Ts>(type, format, bytes), ...);
}

}  // namespace

void rows(std::string_view bytes) {
  using std::chrono::microseconds;
  using std::chrono::nanoseconds;
  Input input(bytes);
  const Oid type = kTypes[input.byte() % std::size(kTypes)];
  const int format = input.byte() & 1;
  const std::string value(input.rest().substr(0, 4096));
  check_each<bool, short, int, long long, unsigned short, unsigned, unsigned long long, float,
             double>(type, format, value);
  check_each<std::string, std::string_view, std::vector<std::byte>, Uuid, Json, Numeric>(
      type, format, value);
  check_each<std::chrono::sys_time<microseconds>, std::chrono::sys_time<nanoseconds>,
             std::chrono::local_time<microseconds>, std::chrono::year_month_day>(type, format,
                                                                                 value);
  check_each<std::optional<int>, std::vector<int>, std::vector<std::optional<std::string>>,
             std::vector<std::vector<std::byte>>>(type, format, value);
}

}  // namespace tidegate::fuzz
