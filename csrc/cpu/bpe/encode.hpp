// Encoding by BPE: the same ids as minillm/tokenizers/merging.py gives.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "bpe/split.hpp"
#include "bpe/table.hpp"

namespace minillm::bpe {

// {left, right} -> merged, the smallest priority first.
struct Rule {
  int32_t left, right;
  int64_t priority;
  int32_t merged;
};

using Ids = std::vector<int32_t>;

class Encoder {
 public:
  // byte_ids: the token of each of the 256 bytes. whole: chunks that are a token of their own, whatever the merges say.
  Encoder(const std::vector<int32_t>& byte_ids, const std::vector<Rule>& rules,
          const std::vector<std::pair<std::string, int32_t>>& whole);

  // The ids of a text. One call at a time (it remembers chunks); others wait.
  Ids encode(Pattern pattern, const uint8_t* classes, std::string_view text);

  // As `encode`, many texts at a time, by all threads of the team.
  std::vector<Ids> encode_batch(Pattern pattern, const uint8_t* classes, const std::vector<std::string_view>& texts);

  // The ids of one chunk, whatever it holds.
  Ids encode_chunk(std::string_view chunk) const;

 private:
  struct Known {  // ids of a chunk: in `ids` from `start`
    int64_t start = -1, size = 0;
  };
  struct Cache {
    ChunkTable<Known> chunks;
    Ids ids;
  };

  void encode_into(Pattern pattern, const uint8_t* classes, std::string_view text, Cache& cache, Ids& out) const;
  void append(std::string_view chunk, Cache& cache, Ids& out) const;
  const int64_t* rule(int32_t left, int32_t right) const { return pairs.find(pair_key(left, right)); }
  void merge_short(Ids& ids) const;
  void merge_long(Ids& ids) const;

  std::vector<int32_t> byte_ids;
  std::vector<Rule> rules;
  PairTable pairs;  // of each pair its number in `rules`
  ChunkTable<int32_t> whole;  // of each chunk its token + 1
  std::mutex mutex;
  std::vector<Cache> caches;  // of each thread
};

}  // namespace minillm::bpe
