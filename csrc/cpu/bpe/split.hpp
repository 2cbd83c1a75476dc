// Text into chunks, as the split patterns of minillm/tokenizers/patterns.py cut it, without a regular expression engine.
#pragma once

#include <cstdint>
#include <string_view>

namespace minillm::bpe {

enum class Pattern { gpt2, gpt4 };

// What a code point is, in bits of a table with an entry for each of them.
constexpr uint8_t LETTER = 1, NUMBER = 2, SPACE = 4;  // \p{L}, \p{N}, \s
constexpr int64_t CODE_POINTS = 0x110000;

// Cuts one text, chunk by chunk. `text` is valid UTF-8; `classes` has CODE_POINTS entries.
class Splitter {
 public:
  Splitter(Pattern pattern, const uint8_t* classes, std::string_view text)
      : pattern(pattern), classes(classes), text(text) {}

  // The next chunk; empty at the end. Joined, the chunks are the text.
  std::string_view next();

 private:
  struct Character {
    uint32_t code = 0;
    uint8_t kind = 0;  // bits of the table; 0 for signs, and at the end of the text
    int64_t end = 0;   // where the next one begins
    bool exists = false;
  };

  Character at(int64_t i) const;
  int64_t run(int64_t i, uint8_t kind, int64_t most = INT64_MAX) const;
  int64_t signs(int64_t i) const;
  int64_t line_ends(int64_t i) const;
  int64_t contraction(int64_t i, bool any_case) const;
  int64_t gpt2_end(int64_t i) const;
  int64_t gpt4_end(int64_t i) const;
  int64_t white_space_end(int64_t i) const;

  const Pattern pattern;
  const uint8_t* const classes;
  const std::string_view text;
  int64_t position = 0;
};

// A place at or after `from` where the text can be cut in two whose chunks are those of the whole: before a space
// that follows an ASCII letter or digit. The text's size if there is none.
int64_t safe_cut(std::string_view text, int64_t from);

}  // namespace minillm::bpe
