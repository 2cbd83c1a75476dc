#include "bpe/split.hpp"

namespace minillm::bpe {

// The character at byte i: UTF-8 has 1 to 4 bytes, told by the first.
Splitter::Character Splitter::at(int64_t i) const {
  if (i >= (int64_t)text.size()) return {};
  const auto byte = [&](int64_t k) { return (uint32_t)(uint8_t)text[i + k]; };
  const uint32_t first = byte(0);
  Character c{.code = first, .end = i + 1, .exists = true};
  if (first >= 0xF0)
    c.code = (first & 7) << 18 | (byte(1) & 63) << 12 | (byte(2) & 63) << 6 | (byte(3) & 63), c.end = i + 4;
  else if (first >= 0xE0)
    c.code = (first & 15) << 12 | (byte(1) & 63) << 6 | (byte(2) & 63), c.end = i + 3;
  else if (first >= 0x80)
    c.code = (first & 31) << 6 | (byte(1) & 63), c.end = i + 2;
  c.kind = classes[c.code];
  return c;
}

// The end of the run of characters of `kind` that begins at i, of `most` at most; i if there is none.
int64_t Splitter::run(int64_t i, uint8_t kind, int64_t most) const {
  for (Character c = at(i); most > 0 && (c.kind & kind); --most, c = at(i)) i = c.end;
  return i;
}

// [^\s\p{L}\p{N}]*
int64_t Splitter::signs(int64_t i) const {
  for (Character c = at(i); c.exists && c.kind == 0; c = at(i)) i = c.end;
  return i;
}

// [\r\n]*
int64_t Splitter::line_ends(int64_t i) const {
  while (i < (int64_t)text.size() && (text[i] == '\r' || text[i] == '\n')) ++i;
  return i;
}

// '(?:[sdmt]|ll|ve|re) at i, or i. In any case, the long s (U+017F) is an s, too.
int64_t Splitter::contraction(int64_t i, bool any_case) const {
  if (text[i] != '\'') return i;
  const auto lower = [&](const Character& c) -> uint32_t {
    if (any_case && c.code == 0x17F) return 's';
    return any_case && 'A' <= c.code && c.code <= 'Z' ? c.code + ('a' - 'A') : c.code;
  };
  const Character first = at(i + 1);
  const uint32_t a = lower(first);
  if (!first.exists) return i;
  if (a == 's' || a == 'd' || a == 'm' || a == 't') return first.end;
  const Character second = at(first.end);
  const uint32_t b = second.exists ? lower(second) : 0;
  return (a == 'l' && b == 'l') || (a == 'v' && b == 'e') || (a == 'r' && b == 'e') ? second.end : i;
}

// \s+(?!\S)|\s: all white space that ends the text, else all but its last character, else that one.
int64_t Splitter::white_space_end(int64_t i) const {
  int64_t end = at(i).end, before_last = i;
  for (Character c = at(end); c.kind & SPACE; c = at(end)) before_last = end, end = c.end;
  return end == (int64_t)text.size() || before_last == i ? end : before_last;
}

int64_t Splitter::gpt2_end(int64_t i) const {
  if (const int64_t end = contraction(i, false); end > i) return end;
  const int64_t start = text[i] == ' ' ? i + 1 : i;  // one space goes with what follows
  const Character c = at(start);
  if (c.kind & LETTER) return run(start, LETTER);
  if (c.kind & NUMBER) return run(start, NUMBER);
  if (c.exists && c.kind == 0) return signs(start);
  return white_space_end(i);
}

int64_t Splitter::gpt4_end(int64_t i) const {
  if (const int64_t end = contraction(i, true); end > i) return end;
  const Character c = at(i);
  if (c.kind & LETTER) return run(i, LETTER);
  if (c.kind & NUMBER) return run(i, NUMBER, 3);
  const bool line_end = c.code == '\r' || c.code == '\n';
  if (!line_end && (at(c.end).kind & LETTER)) return run(c.end, LETTER);  // one sign or space before
  const int64_t start = c.code == ' ' ? c.end : i;
  if (const int64_t end = signs(start); end > start) return line_ends(end);
  const int64_t end = run(i, SPACE);
  if (end == (int64_t)text.size()) return end;
  for (int64_t k = end; k > i; --k)  // up to and with the last line end
    if (text[k - 1] == '\r' || text[k - 1] == '\n') return k;
  return white_space_end(i);
}

std::string_view Splitter::next() {
  if (position >= (int64_t)text.size()) return {};
  const int64_t start = position;
  position = pattern == Pattern::gpt2 ? gpt2_end(start) : gpt4_end(start);
  return text.substr(start, position - start);
}

int64_t safe_cut(std::string_view text, int64_t from) {
  const auto plain = [](char c) { return ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9'); };
  for (int64_t i = from < 1 ? 1 : from; i < (int64_t)text.size(); ++i)
    if (text[i] == ' ' && plain(text[i - 1])) return i;
  return text.size();
}

}  // namespace minillm::bpe
