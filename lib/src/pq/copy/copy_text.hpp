// The text format of COPY: a line per row, tabs between its values, \N for NULL, and a backslash
// before what would be structure (documentation: COPY, File Formats).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tidegate::pq {

void append_copy_text(std::string& out, std::string_view value);
// As bytea in its hex form.
void append_copy_bytes(std::string& out, std::string_view value);

struct CopyValue {
  std::string_view text{};
  bool null = false;
};

// Takes a line apart (with or without its newline), unescaping it in place.
void split_copy_line(std::span<char> line, std::vector<CopyValue>& values);

}  // namespace tidegate::pq
