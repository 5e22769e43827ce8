// Whether a statement, by its text, leaves the meaning of other texts alone.
#pragma once

#include <string_view>

namespace tidegate::pq {

// True for SELECT (without INTO), VALUES, TABLE, INSERT, UPDATE, DELETE and MERGE, also behind WITH
// and in parentheses, and for BEGIN and SAVEPOINT, unless the text names set_config(). Every other
// statement may change tables, types, search_path or role, or forget what was prepared: SET, DDL,
// DISCARD, CALL, DO, COMMIT and ROLLBACK (which undo a SET), and all that is not understood here. A
// text does not show what functions and triggers do, so nothing looks for that.
bool is_plain(std::string_view sql) noexcept;

// Whether a statement that was answered by that command tag may have changed what other texts mean.
// `sql`: all that was sent with it, or empty when that is not known. Not every statement that is
// not plain counts: SET and set_config() only if they change what names are looked up by, and CALL
// never, because a program may call all the time.
bool changes_meaning(std::string_view tag, std::string_view sql) noexcept;

// What a statement, or one of a script, leaves in its session beyond its transaction.
enum class Leaves : unsigned char {
  nothing,
  subscription,  // LISTEN
  setting,       // SET, except SET LOCAL and what PgBouncer keeps for each client
  lock,          // pg_advisory_lock() and the like, except those of a transaction
  table,         // CREATE TEMPORARY TABLE without ON COMMIT DROP
  statement,     // PREPARE
};
// The first thing that it leaves, by its text; `nothing` where the text does not tell.
Leaves leaves_behind(std::string_view sql) noexcept;

// Whether a statement may share its session with those of others: it is SELECT, VALUES, TABLE,
// WITH, INSERT, UPDATE, DELETE or MERGE, is_plain(), and leaves nothing behind. A text does not
// show what functions do.
bool may_share_session(std::string_view sql) noexcept;

}  // namespace tidegate::pq
