#!/usr/bin/env bash
# usage: compile_errors_test.sh COMPILER INCLUDE_DIR...
# What must not compile fails to, with a message that says what to do instead.
set -uo pipefail

compiler=$1
shift
includes=("${@/#/-I}")
failed=0

# Compiled once, for all of them.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/all.hpp" <<'TEXT'
#include <vector>
#include <tidegate/pq/transaction.hpp>
struct Unknown {};
TEXT
"$compiler" -std=c++20 "${includes[@]}" -x c++-header "$work/all.hpp" -o "$work/all.hpp.gch" || exit

compile() {  # SOURCE: the compiler's output; its status
  "$compiler" -std=c++20 -fsyntax-only "${includes[@]}" -include "$work/all.hpp" -x c++ - 2>&1 \
    <<<"void f(tidegate::Connection& connection) { $1; }"
}

expect_message() {  # MESSAGE SOURCE
  local output
  if output=$(compile "$2"); then
    echo "compiles, but should not: $2"
    failed=1
  elif ! grep -q "$1" <<<"$output"; then
    printf 'fails without saying "%s": %s\n%s\n' "$1" "$2" "$output"
    failed=1
  fi
}

compile 'connection.query_value<int>("select 1", 1, "text", nullptr)' &&
  compile 'connection.query_value<int>(tidegate::ExecOptions{}, "select 1", 1, "text")' ||
  { echo "correct use does not compile"; failed=1; }

expect_message "tidegate: this type cannot be a query parameter; specialise tidegate::Convert" \
  'connection.exec("select $1", Unknown())'
expect_message "tidegate: this type cannot be a query parameter" \
  "connection.exec(\"select \$1\", 'c')"
expect_message "tidegate: a Deadline is not a query parameter" \
  'connection.exec("select 1", tidegate::Deadline())'
expect_message "tidegate: a Location is not a query parameter" \
  'connection.exec("select 1", tidegate::Location::current())'
expect_message "tidegate: ExecOptions are not a query parameter; they come before" \
  'connection.exec("select 1", tidegate::ExecOptions())'
expect_message "tidegate: TxOptions are not a query parameter" \
  'connection.exec("select 1", std::declval<tidegate::TxOptions&>())'
expect_message "tidegate: the last argument of each() is called with a Row" \
  'connection.each("select 1")'
expect_message "tidegate: the last argument of each() is called with a Row" \
  'connection.each("select 1", 1)'
expect_message "tidegate: a Deadline is not a query parameter" \
  'connection.each("select 1", tidegate::Deadline(), [](tidegate::Row) {})'
expect_message "tidegate: this type cannot be read from a result; specialise tidegate::Convert" \
  'connection.query_value<Unknown>("select 1")'
expect_message "tidegate: this type cannot be read from a result" \
  'connection.exec("select 1")[0].get<const char*>(0)'
for view in 'std::string_view' 'std::optional<std::string_view>' 'std::span<const std::byte>'; do
  expect_message "tidegate: a view would dangle" "connection.query_value<$view>(\"select 1\")"
  expect_message "tidegate: a view would dangle" "connection.query_row<int, $view>(\"select 1, 2\")"
done
expect_message "tidegate: this type cannot be read from a result" \
  'connection.query_value<std::vector<std::string_view>>("select 1")'

expect_message "tidegate: this type cannot be a query parameter" \
  'tidegate::Batch().add("select $1", Unknown())'
expect_message "tidegate: copy_in() takes a range of tuples" \
  'connection.copy_in({.table = "t"}, std::vector<int>{1})'
expect_message "tidegate: this type cannot be a query parameter" \
  'connection.copy_in({.table = "t"}, std::vector<std::tuple<Unknown>>{})'

exit $failed
