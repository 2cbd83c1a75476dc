// Hash tables of the tokenizer: from pairs of tokens, and from chunks of text. Open addressing, linear probing.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace minillm::bpe {

inline uint64_t mix(uint64_t x) {  // every bit of x reaches every bit of the result
  x = (x ^ (x >> 32)) * 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 29)) * 0xBF58476D1CE4E5B9u;
  return x ^ (x >> 32);
}

inline uint64_t pair_key(int32_t left, int32_t right) { return (uint64_t)(uint32_t)left << 32 | (uint32_t)right; }

// A number for each pair of tokens.
class PairTable {
 public:
  // The pair's number, or null. Valid until the next insertion.
  const int64_t* find(uint64_t key) const {
    for (size_t i = mix(key) & mask;; i = (i + 1) & mask) {
      if (slots[i].value < 0) return nullptr;
      if (slots[i].key == key) return &slots[i].value;
    }
  }

  // The pair's number, `fresh` (not negative) if it was new.
  int64_t insert(uint64_t key, int64_t fresh) {
    if (2 * ++used > slots.size()) grow();
    for (size_t i = mix(key) & mask;; i = (i + 1) & mask) {
      if (slots[i].value < 0) {
        slots[i] = {key, fresh};
        return fresh;
      }
      if (slots[i].key == key) {
        --used;
        return slots[i].value;
      }
    }
  }

 private:
  struct Slot {
    uint64_t key = 0;
    int64_t value = -1;  // nothing here
  };

  void grow() {
    std::vector<Slot> old(2 * slots.size());
    old.swap(slots);
    mask = slots.size() - 1;
    for (const Slot& slot : old)
      if (slot.value >= 0) {
        size_t i = mix(slot.key) & mask;
        while (slots[i].value >= 0) i = (i + 1) & mask;
        slots[i] = slot;
      }
  }

  size_t mask = 63, used = 0;
  std::vector<Slot> slots{64};
};

inline uint64_t hash_of(std::string_view s) {
  uint64_t h = s.size();
  size_t i = 0;
  for (; i + 8 <= s.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, s.data() + i, 8);
    h = mix(h ^ word);
  }
  uint64_t word = 0;
  std::memcpy(&word, s.data() + i, s.size() - i);
  return mix(h ^ word);
}

// A value for each chunk; the chunks' bytes are kept one after the other.
template <class Value>
class ChunkTable {
 public:
  struct Entry {
    uint64_t hash;
    int64_t start, size;
    Value value;
  };

  // The chunk's value, made by Value{} if it was new.
  Value& operator[](std::string_view chunk) {
    const uint64_t hash = hash_of(chunk);
    size_t i = hash & mask;
    for (; slots[i] >= 0; i = (i + 1) & mask) {
      Entry& e = entries[slots[i]];
      if (e.hash == hash && text(e) == chunk) return e.value;
    }
    slots[i] = entries.size();
    entries.push_back({hash, (int64_t)bytes.size(), (int64_t)chunk.size(), Value{}});
    bytes.insert(bytes.end(), chunk.begin(), chunk.end());
    if (2 * entries.size() > slots.size()) grow();
    return entries.back().value;
  }

  // The chunk's value, or null.
  const Value* find(std::string_view chunk) const {
    const uint64_t hash = hash_of(chunk);
    for (size_t i = hash & mask; slots[i] >= 0; i = (i + 1) & mask) {
      const Entry& e = entries[slots[i]];
      if (e.hash == hash && text(e) == chunk) return &e.value;
    }
    return nullptr;
  }

  std::string_view text(const Entry& e) const { return {bytes.data() + e.start, (size_t)e.size}; }
  const std::vector<Entry>& all() const { return entries; }
  size_t size() const { return entries.size(); }

 private:
  void grow() {
    slots.assign(2 * slots.size(), -1);
    mask = slots.size() - 1;
    for (size_t n = 0; n < entries.size(); ++n) {
      size_t i = entries[n].hash & mask;
      while (slots[i] >= 0) i = (i + 1) & mask;
      slots[i] = n;
    }
  }

  size_t mask = 1023;
  std::vector<int64_t> slots = std::vector<int64_t>(1024, -1);
  std::vector<Entry> entries;
  std::vector<char> bytes;
};

}  // namespace minillm::bpe
