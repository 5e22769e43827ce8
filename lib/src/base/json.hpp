// JSON text, as much of it as the reports need.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace tidegate::detail {

// A JSON string (RFC 8259, section 7), quotes included: nothing of the text is lost or cut, except
// that bytes that are not UTF-8 become U+FFFD. It also escapes control characters and everything
// else that printable() escapes, so that a terminal may show it.
std::string json_string(std::string_view text);

// The shortest text without an exponent that reads back as the same number, the same in every
// locale. Needs: a value between -1e18 and 1e18, and none below 1e-20 but 0.
std::string decimal(double value);
std::string decimal_seconds(std::chrono::nanoseconds value);

// {"key":value,...}, in the order of the calls.
class JsonObject {
 public:
  JsonObject& text(std::string_view key, std::string_view value) {
    return add(key, json_string(value));
  }
  JsonObject& number(std::string_view key, std::integral auto value) {
    return add(key, std::to_string(value));
  }
  JsonObject& number(std::string_view key, double value) { return add(key, decimal(value)); }
  JsonObject& seconds(std::string_view key, std::chrono::nanoseconds value) {
    return add(key, decimal_seconds(value));
  }
  JsonObject& flag(std::string_view key, bool value) { return add(key, value ? "true" : "false"); }
  JsonObject& add(std::string_view key, const JsonObject& value) { return add(key, value.done()); }
  // Needs: `json` is a JSON text.
  JsonObject& add(std::string_view key, std::string_view json);
  std::string done() const { return '{' + json_ + '}'; }

 private:
  std::string json_{};
};

}  // namespace tidegate::detail
