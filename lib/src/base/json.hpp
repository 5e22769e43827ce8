// JSON text, as far as the reports need it.
#pragma once

#include <string>
#include <string_view>

namespace tidegate::detail {

// A JSON string (RFC 8259, section 7), quotes included. Bytes that are no UTF-8 become U+FFFD.
std::string json_string(std::string_view text);

}  // namespace tidegate::detail
