#include "bpe/encode.hpp"

#include <algorithm>
#include <limits>
#include <queue>

#include "parallel.hpp"

namespace minillm::bpe {

constexpr size_t SHORT = 32;          // bytes up to which looking at all pairs for each merge is faster than a heap
constexpr size_t LONGEST_KNOWN = 64;  // bytes; longer chunks hardly come again
constexpr size_t MOST_KNOWN = 1 << 18;
constexpr int64_t NEVER = std::numeric_limits<int64_t>::max();

Encoder::Encoder(const std::vector<int32_t>& byte_ids, const std::vector<Rule>& rules,
                 const std::vector<std::pair<std::string, int32_t>>& tokens)
    : byte_ids(byte_ids), rules(rules) {
  for (size_t i = 0; i < rules.size(); ++i) pairs.insert(pair_key(rules[i].left, rules[i].right), i);
  for (const auto& [chunk, token] : tokens) whole[chunk] = token + 1;
}

// Merge the pair of the smallest priority, of equals the leftmost, until no pair has a rule.
void Encoder::merge_short(Ids& ids) const {
  size_t n = ids.size();
  const int64_t* found[SHORT];  // the rule of the pair that begins at i
  const auto look_up = [&](size_t i) { found[i] = i + 1 < n ? rule(ids[i], ids[i + 1]) : nullptr; };
  for (size_t i = 0; i < n; ++i) look_up(i);
  while (n > 1) {
    size_t best = n;
    int64_t priority = NEVER;
    for (size_t i = 0; i + 1 < n; ++i)
      if (found[i] && rules[*found[i]].priority < priority) priority = rules[*found[best = i]].priority;
    if (best == n) break;
    ids[best] = rules[*found[best]].merged;
    ids.erase(ids.begin() + best + 1);
    std::copy(found + best + 2, found + n, found + best + 1);
    --n;
    look_up(best);
    if (best > 0) look_up(best - 1);
  }
}

// The same with the places in a heap and the tokens in a linked list: n log n steps for n bytes.
void Encoder::merge_long(Ids& ids) const {
  struct Waiting {
    int64_t priority, place;
    bool operator>(const Waiting& other) const {
      return std::pair(priority, place) > std::pair(other.priority, other.place);
    }
  };
  const int64_t n = ids.size();
  std::vector<int64_t> before(n), after(n);
  std::priority_queue<Waiting, std::vector<Waiting>, std::greater<>> heap;
  const auto wait = [&](int64_t place) {
    if (place < 0 || after[place] >= n) return;
    if (const int64_t* r = rule(ids[place], ids[after[place]])) heap.push({rules[*r].priority, place});
  };
  for (int64_t i = 0; i < n; ++i) before[i] = i - 1, after[i] = i + 1;
  for (int64_t i = 0; i < n; ++i) wait(i);
  while (!heap.empty()) {
    const auto [priority, place] = heap.top();
    heap.pop();
    if (ids[place] < 0 || after[place] >= n) continue;
    const int64_t* r = rule(ids[place], ids[after[place]]);
    if (!r || rules[*r].priority != priority) continue;  // the pair has changed since it began to wait
    const int64_t gone = after[place];
    ids[place] = rules[*r].merged;
    ids[gone] = -1;
    after[place] = after[gone];
    if (after[place] < n) before[after[place]] = place;
    wait(place);
    wait(before[place]);
  }
  std::erase(ids, -1);
}

Ids Encoder::encode_chunk(std::string_view chunk) const {
  if (whole.size())
    if (const int32_t* token = whole.find(chunk)) return {*token - 1};
  Ids ids(chunk.size());
  for (size_t i = 0; i < chunk.size(); ++i) ids[i] = byte_ids[(uint8_t)chunk[i]];
  if (ids.size() <= SHORT)
    merge_short(ids);
  else
    merge_long(ids);
  return ids;
}

void Encoder::append(std::string_view chunk, Cache& cache, Ids& out) const {
  if (chunk.size() > LONGEST_KNOWN) {
    const Ids ids = encode_chunk(chunk);
    out.insert(out.end(), ids.begin(), ids.end());
    return;
  }
  if (cache.chunks.size() >= MOST_KNOWN) cache = Cache();  // text of another kind has come
  Known& known = cache.chunks[chunk];
  if (known.start < 0) {
    const Ids ids = encode_chunk(chunk);
    known = {(int64_t)cache.ids.size(), (int64_t)ids.size()};
    cache.ids.insert(cache.ids.end(), ids.begin(), ids.end());
  }
  const auto first = cache.ids.begin() + known.start;
  out.insert(out.end(), first, first + known.size);
}

void Encoder::encode_into(Pattern pattern, const uint8_t* classes, std::string_view text, Cache& cache,
                          Ids& out) const {
  Splitter splitter(pattern, classes, text);
  for (std::string_view chunk = splitter.next(); !chunk.empty(); chunk = splitter.next()) append(chunk, cache, out);
}

Ids Encoder::encode(Pattern pattern, const uint8_t* classes, std::string_view text) {
  const std::lock_guard lock(mutex);
  if (caches.empty()) caches.resize(1);
  Ids out;
  out.reserve(text.size() / 3);
  encode_into(pattern, classes, text, caches[0], out);
  return out;
}

std::vector<Ids> Encoder::encode_batch(Pattern pattern, const uint8_t* classes,
                                       const std::vector<std::string_view>& texts) {
  const std::lock_guard lock(mutex);
  if ((int)caches.size() < threads()) caches.resize(threads());
  std::vector<Ids> out(texts.size());
  parallel((int)std::min<size_t>(texts.size(), caches.size()), [&](int thread, int count) {
    for (size_t i = thread; i < texts.size(); i += count) encode_into(pattern, classes, texts[i], caches[thread], out[i]);
  });
  return out;
}

}  // namespace minillm::bpe
