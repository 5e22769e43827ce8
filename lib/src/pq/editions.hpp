// Editions of a text: the same statement in other words, for a pooler that has a stale one for it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tidegate::pq {

// A pooler that shares statements gives one that is stale to each client that comes, until it
// closes its connection to the server; some (Odyssey) do so without a name, too. Only another text
// is another statement: so from then on, and in the whole process, a comment goes with the text
// that nobody else's has. Some texts more may get one, and some lose it, which costs a parse or a
// failure. Any thread.
void next_edition(std::string_view text) noexcept;
// Of those that have none of their own.
void next_edition_of_all() noexcept;
// Appends the comment, where there is one. `text`: without.
void append_edition(std::string& text);

// The text of an edition without its comment; any other is as it is.
std::string_view without_edition(std::string_view text) noexcept;

// An edition that is for a look only, and stays the same for so many seconds: a pooler keeps each.
std::string edition_for_a_look(std::string_view text, unsigned seconds);
// From here on they are others: one was stale.
void next_looks() noexcept;

}  // namespace tidegate::pq
