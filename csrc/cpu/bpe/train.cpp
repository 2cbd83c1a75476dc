#include "bpe/train.hpp"

#include <algorithm>

#include "parallel.hpp"

namespace minillm::bpe {

constexpr int64_t BLOCK = 1 << 18;  // bytes of text that a thread takes at a time

void count_chunks(Pattern pattern, const uint8_t* classes, const std::vector<std::string_view>& texts, Counts& counts) {
  std::vector<std::string_view> blocks;
  for (std::string_view text : texts)
    while (!text.empty()) {
      const int64_t cut = safe_cut(text, BLOCK);
      blocks.push_back(text.substr(0, cut));
      text.remove_prefix(cut);
    }
  std::vector<Counts> parts(threads());
  parallel((int)parts.size(), [&](int thread, int count) {
    Counts& own = thread == 0 ? counts : parts[thread];
    for (size_t b = thread; b < blocks.size(); b += count) {
      Splitter splitter(pattern, classes, blocks[b]);
      for (std::string_view chunk = splitter.next(); !chunk.empty(); chunk = splitter.next()) ++own[chunk];
    }
  });
  for (const Counts& part : parts)
    for (const Counts::Entry& e : part.all()) counts[part.text(e)] += e.value;
}

Learner::Learner(const std::vector<std::pair<std::string_view, int64_t>>& chunks) {
  for (const auto& [chunk, count] : chunks) {
    const int64_t first = ids.size(), size = chunk.size();
    for (int64_t i = 0; i < size; ++i) {
      ids.push_back((uint8_t)chunk[i]);
      before.push_back(i > 0 ? first + i - 1 : -1);
      after.push_back(i + 1 < size ? first + i + 1 : -1);
      word.push_back(word_count.size());
    }
    word_count.push_back(count);
  }
  for (size_t place = 0; place < ids.size(); ++place)
    if (after[place] >= 0) {
      Pair& pair = pairs[pair_of(ids[place], ids[after[place]])];
      pair.count += word_count[word[place]];
      pair.places.push_back(place);
    }
  for (size_t pair = 0; pair < pairs.size(); ++pair) push(pair);
}

int64_t Learner::pair_of(int32_t left, int32_t right) {
  const int64_t number = numbers.insert(pair_key(left, right), pairs.size());
  if (number == (int64_t)pairs.size()) pairs.push_back({left, right, 0, {}});
  return number;
}

bool Learner::worse(const Candidate& a, const Candidate& b) const {
  if (a.count != b.count) return a.count < b.count;
  const Pair &x = pairs[a.pair], &y = pairs[b.pair];
  return std::pair(x.left, x.right) > std::pair(y.left, y.right);
}

void Learner::push(int64_t pair) {
  heap.push_back({pairs[pair].count, pair});
  std::push_heap(heap.begin(), heap.end(), [this](const auto& a, const auto& b) { return worse(a, b); });
}

std::vector<std::pair<int32_t, int32_t>> Learner::learn(int64_t n) {
  std::vector<std::pair<int32_t, int32_t>> merges;
  while (!heap.empty() && (int64_t)merges.size() < n) {
    std::pop_heap(heap.begin(), heap.end(), [this](const auto& a, const auto& b) { return worse(a, b); });
    const Candidate best = heap.back();
    heap.pop_back();
    const int64_t count = pairs[best.pair].count;
    if (count != best.count) {  // it has changed since: put back with the right one
      if (count > 0) push(best.pair);
      continue;
    }
    if (count <= 0) continue;
    merges.emplace_back(pairs[best.pair].left, pairs[best.pair].right);
    merge(best.pair, 256 + learnt++);
  }
  return merges;
}

// Merge the pair everywhere, from the left in each word and without overlap.
void Learner::merge(int64_t pair, int32_t made) {
  const int32_t left = pairs[pair].left, right = pairs[pair].right;
  const std::vector<int64_t> places = std::move(pairs[pair].places);
  increased.clear();
  for (const int64_t place : places)
    if (ids[place] == left && after[place] >= 0 && ids[after[place]] == right) merge_at(place, left, right, made);
  pairs[pair].count = 0;
  std::sort(increased.begin(), increased.end());
  increased.erase(std::unique(increased.begin(), increased.end()), increased.end());
  for (const int64_t changed : increased)
    if (pairs[changed].count > 0) push(changed);
}

// Only the pairs on both sides change. Where the merge before touches this one, it has counted (made, left) as the
// pair between them, which is taken back here.
void Learner::merge_at(int64_t place, int32_t left, int32_t right, int32_t made) {
  const int64_t gone = after[place], next = after[gone], previous = before[place], count = word_count[word[place]];
  if (previous >= 0) {
    pairs[pair_of(ids[previous], left)].count -= count;
    const int64_t pair = pair_of(ids[previous], made);
    pairs[pair].count += count;
    pairs[pair].places.push_back(previous);
    increased.push_back(pair);
  }
  if (next >= 0) {
    pairs[pair_of(right, ids[next])].count -= count;
    const int64_t pair = pair_of(made, ids[next]);
    pairs[pair].count += count;
    pairs[pair].places.push_back(place);
    increased.push_back(pair);
    before[next] = place;
  }
  ids[place] = made;
  ids[gone] = -1;
  after[place] = next;
}

}  // namespace minillm::bpe
