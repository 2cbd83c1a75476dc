// Python's view of bpe/: counting chunks, learning merges, encoding.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <tuple>

#include "arrays.hpp"
#include "bpe/encode.hpp"
#include "bpe/train.hpp"

namespace minillm {

using namespace bpe;

// A pattern by name, with the table of what each code point is.
static Pattern checked(const std::string& pattern, const In<uint8_t>& classes) {
  require(pattern == "gpt2" || pattern == "gpt4", "bpe: the pattern must be gpt2 or gpt4");
  require((int64_t)classes.size() == CODE_POINTS, "bpe: the table must have an entry for each code point");
  return pattern == "gpt2" ? Pattern::gpt2 : Pattern::gpt4;
}

// A string's own UTF-8, which lives as long as the string; UnicodeEncodeError for lone surrogates.
static std::string_view utf8(nb::handle text) {
  Py_ssize_t size;
  const char* data = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
  if (!data) throw nb::python_error();
  return {data, (size_t)size};
}

static std::vector<std::string_view> utf8_of_all(const nb::list& texts) {
  std::vector<std::string_view> views;
  for (nb::handle text : texts) views.push_back(utf8(text));
  return views;
}

static nb::list as_list(const Ids& ids) {
  PyObject* list = PyList_New(ids.size());
  if (!list) throw nb::python_error();
  for (size_t i = 0; i < ids.size(); ++i) PyList_SET_ITEM(list, i, PyLong_FromLong(ids[i]));
  return nb::steal<nb::list>(list);
}

static void bind_training(nb::module_& m) {
  nb::class_<Counts>(m, "ChunkCounts")
      .def(nb::init<>())
      .def("add", [](Counts& counts, const std::string& pattern, In<uint8_t> classes, nb::list texts) {
        const Pattern chosen = checked(pattern, classes);
        const std::vector<std::string_view> views = utf8_of_all(texts);
        Released lock;
        count_chunks(chosen, classes.data(), views, counts);
      }, "Count the chunks of a list of strings.")
      .def("items", [](const Counts& counts) {
        nb::list items;
        for (const Counts::Entry& e : counts.all()) {
          const std::string_view chunk = counts.text(e);
          items.append(nb::make_tuple(nb::bytes(chunk.data(), chunk.size()), e.value));
        }
        return items;
      }, "(bytes, how often) of each chunk.");
  nb::class_<Learner>(m, "MergeLearner")
      .def("__init__", [](Learner* self, nb::list items) {
        std::vector<std::pair<std::string_view, int64_t>> chunks;
        for (nb::handle item : items) {
          const nb::bytes chunk = nb::cast<nb::bytes>(item[0]);  // the list keeps it alive
          chunks.emplace_back(std::string_view(chunk.c_str(), chunk.size()), nb::cast<int64_t>(item[1]));
        }
        new (self) Learner(chunks);
      })
      .def("learn", [](Learner& learner, int64_t n) {
        Released lock;
        return learner.learn(n);
      }, "The next merges, n at most, as pairs of ids.");
}

static void bind_encoding(nb::module_& m) {
  nb::class_<Encoder>(m, "BPEEncoder")
      .def("__init__", [](Encoder* self, const std::vector<int32_t>& byte_ids,
                          const std::vector<std::tuple<int32_t, int32_t, int64_t, int32_t>>& merges,
                          const std::vector<std::pair<nb::bytes, int32_t>>& whole) {
        require(byte_ids.size() == 256, "bpe: a token for each of the 256 bytes is needed");
        std::vector<Rule> rules;
        for (const auto& [left, right, priority, merged] : merges) rules.push_back({left, right, priority, merged});
        std::vector<std::pair<std::string, int32_t>> tokens;
        for (const auto& [chunk, token] : whole) tokens.emplace_back(std::string(chunk.c_str(), chunk.size()), token);
        new (self) Encoder(byte_ids, rules, tokens);
      })
      .def("encode", [](Encoder& encoder, const std::string& pattern, In<uint8_t> classes, nb::str text) {
        const Pattern chosen = checked(pattern, classes);
        const std::string_view view = utf8(text);
        Ids ids;
        {
          Released lock;
          ids = encoder.encode(chosen, classes.data(), view);
        }
        return as_list(ids);
      })
      .def("encode_batch", [](Encoder& encoder, const std::string& pattern, In<uint8_t> classes, nb::list texts) {
        const Pattern chosen = checked(pattern, classes);
        const std::vector<std::string_view> views = utf8_of_all(texts);
        std::vector<Ids> ids;
        {
          Released lock;
          ids = encoder.encode_batch(chosen, classes.data(), views);
        }
        nb::list lists;
        for (const Ids& one : ids) lists.append(as_list(one));
        return lists;
      })
      .def("encode_chunk", [](const Encoder& encoder, nb::bytes chunk) {
        return as_list(encoder.encode_chunk({chunk.c_str(), chunk.size()}));
      }, "The ids of bytes, as one chunk.");
}

void bind_bpe(nb::module_& m) {
  bind_training(m);
  bind_encoding(m);
  define(m, "split", [](const std::string& pattern, In<uint8_t> classes, nb::str text) {
    Splitter splitter(checked(pattern, classes), classes.data(), utf8(text));
    nb::list chunks;
    for (std::string_view chunk = splitter.next(); !chunk.empty(); chunk = splitter.next())
      chunks.append(nb::str(chunk.data(), chunk.size()));
    return chunks;
  }, "The chunks of a text.");
}

}  // namespace minillm
