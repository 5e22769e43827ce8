// Whether a statement, by its text, leaves alone what the text of another one means.
#pragma once

#include <string_view>

namespace tidegate::pq {

// True of SELECT (without INTO), VALUES, TABLE, INSERT, UPDATE, DELETE and MERGE, also behind WITH
// and in parentheses, and of BEGIN and SAVEPOINT; unless it names set_config(). Everything else may
// change tables, types, search_path or role, or forget what was prepared: SET, DDL, DISCARD, CALL,
// DO, COMMIT and ROLLBACK (which undo a SET), and whatever is not understood here. What functions
// and triggers do by themselves is not to be seen in a text, and not looked for.
bool is_plain(std::string_view sql) noexcept;

// Whether a statement that was answered by that command tag may have changed what the texts of
// others mean. `sql`: all that was sent with it, or empty when that is not known. Less is taken for
// a change than is not plain: a SET or set_config() only of what names are looked up by, and no
// CALL, which a program may make all the time.
bool changes_meaning(std::string_view tag, std::string_view sql) noexcept;

// What a statement, or one of a script, leaves to its session beyond its transaction.
enum class Leaves : unsigned char {
  nothing,
  subscription,  // LISTEN
  setting,       // SET, but for SET LOCAL and what PgBouncer keeps for each of its clients
  lock,          // pg_advisory_lock() and the like, but for those of a transaction
  table,         // CREATE TEMPORARY TABLE without ON COMMIT DROP
  statement,     // PREPARE
};
// The first of it, by its text; nothing where that does not tell.
Leaves leaves_behind(std::string_view sql) noexcept;

}  // namespace tidegate::pq
