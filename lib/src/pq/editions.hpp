// Editions of a text: the same statement written differently, for a pooler with a stale one for it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tidegate::pq {

// A pooler that shares statements gives a stale one to each client that asks for its text, until
// the pooler closes its connection to the server; some (Odyssey) do so for unnamed statements, too.
// Only another text is another statement. So from this call on the whole process sends a comment
// with the text that no other process sends. A few other texts may get a comment, or lose theirs,
// which costs a parse or a failure. Any thread.
void next_edition(std::string_view text) noexcept;
// The same for all texts that have no edition of their own.
void next_edition_of_all() noexcept;
// Appends the comment, if the text has an edition. `text`: without a comment.
void append_edition(std::string& text);

// The text of an edition without its comment; any other text is unchanged.
std::string_view without_edition(std::string_view text) noexcept;

// An edition for a look only. It stays the same for `seconds`, because a pooler keeps each edition.
std::string edition_for_a_look(std::string_view text, unsigned seconds);
// From here on all texts have other editions for looks, because one of those was stale.
void next_looks() noexcept;

}  // namespace tidegate::pq
