// Learning BPE merges (Sennrich et al. 2016, section 3.2): the same results as minillm/tokenizers/bpe_training.py.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bpe/split.hpp"
#include "bpe/table.hpp"

namespace minillm::bpe {

using Counts = ChunkTable<int64_t>;

// Add how often each chunk occurs in the texts, which are cut into blocks for the team of threads.
void count_chunks(Pattern pattern, const uint8_t* classes, const std::vector<std::string_view>& texts, Counts& counts);

// Merges the most frequent pair, again and again; of equally frequent ones that with the smallest ids.
class Learner {
 public:
  // chunks with their counts; their order changes nothing.
  explicit Learner(const std::vector<std::pair<std::string_view, int64_t>>& chunks);

  // The next merges, n at most; fewer when every chunk has become one token. The i-th of all makes token 256 + i.
  std::vector<std::pair<int32_t, int32_t>> learn(int64_t n);

 private:
  struct Pair {
    int32_t left, right;
    int64_t count = 0;            // how often it stands in the text now
    std::vector<int64_t> places;  // of its left token, ascending; some may have changed since
  };
  struct Candidate {
    int64_t count;
    int64_t pair;
  };

  int64_t pair_of(int32_t left, int32_t right);
  void push(int64_t pair);
  bool worse(const Candidate& a, const Candidate& b) const;
  void merge(int64_t pair, int32_t made);
  void merge_at(int64_t place, int32_t left, int32_t right, int32_t made);

  // The text: one token after the other, each word (a chunk and how often it occurs) a linked list.
  std::vector<int32_t> ids;                  // -1: merged into the token before
  std::vector<int64_t> before, after, word;  // -1 at a word's ends
  std::vector<int64_t> word_count;

  std::vector<Pair> pairs;
  PairTable numbers;               // of pairs
  std::vector<Candidate> heap;     // the most frequent on top; counts may be out of date, but never too small
  std::vector<int64_t> increased;  // pairs that the merge at hand made more frequent
  int32_t learnt = 0;
};

}  // namespace minillm::bpe
