// How the value of one option is written: `first[,key=value]...`, each key with its type, as a table says.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.hpp"
#include "core/cli/options.hpp"

namespace nacre::cli {

enum class ValueType {
  Text,        // 1 .. 255 bytes
  Id,          // the same, the name of a thing
  Path,        // 1 .. 4096 bytes
  SocketPath,  // 1 .. 107 bytes: what sockaddr_un holds besides the NUL
  Bool,        // on off true false yes no unmap ignore
  Flag,        // a bare word: it is there or not
  Integer,     // decimal or 0x hexadecimal, low .. high
  Size,        // decimal with K, M or G; MiB without a suffix. A number of bytes
  Choice,      // one of `values`
  Ipv4,
  Sha256,  // sha256: and 64 hexadecimal digits
  Uuid,
  Later,  // StratoVirt has this key, this version has not: `help` says why
};

// One key of an option, or the one value of an option that has no keys.
struct Key {
  std::string_view name;
  ValueType type = ValueType::Text;
  std::string_view help = {};
  std::string_view fallback = {};  // the default as help shows it; empty for none
  bool required = false;
  std::string_view values = {};  // Choice: "a|b|c"
  std::string_view later = {};   // Choice: values that StratoVirt has and this version has not
  bool foreign = false;          // Choice: or a plugin's type, by name, whose properties other keys are then
  std::string_view wrong = {};   // Choice: begins the sentence about another value, in place of "cannot be"
  std::string_view kinds = {};   // the values of the deciding key that this one goes with, "a|b"; empty: with all
  uint64_t low = 0;              // Integer
  uint64_t high = std::numeric_limits<uint64_t>::max();
};

struct Grammar {
  std::span<const Key> keys = {};
  bool bare_first = false;  // the first element may stand without its name, it is then keys[0]'s value
  bool open = false;        // elements with other keys are kept as they are
  bool signs = false;       // "+key" and "-key" stand for "key=on" and "key=off"
};

// The element with its sign, where it has one and the grammar knows signs, written out as a value.
std::string without_sign(const Grammar& grammar, const std::string& element);

// By name, '_' as good as '-'. Null when there is none.
const Key* find_key(const Grammar& grammar, std::string_view name);

// The key on whose value it depends which others there are: the one that may name a plugin's type, else the first where
// that may stand without its name. Null when there is none.
const Key* deciding_key(const Grammar& grammar);
// What the elements of a value say for it; empty when nothing.
std::string decision(const Grammar& grammar, const std::vector<std::string>& elements);
// Whether that is the name of a plugin's type.
bool is_foreign(const Grammar& grammar, std::string_view decided);
bool goes_with(const Key& key, std::string_view decided);

// The value of one option, taken apart and checked. The names asked for must be in the grammar.
class Fields {
 public:
  bool has(std::string_view name) const { return find(name) != nullptr; }
  // Choice: as the table spells it. Text: as given.
  std::string text(std::string_view name) const;
  // Integer, Size, and Bool and Flag as 0 and 1.
  uint64_t number(std::string_view name, uint64_t fallback) const;
  bool flag(std::string_view name, bool fallback) const { return number(name, fallback) != 0; }

  Properties others;  // of an open grammar, or a plugin's type

 private:
  friend Result<Fields> parse_fields(std::string_view option, std::string_view value, const Grammar& grammar);
  struct Field {
    const Key* key;
    std::string text;
    uint64_t number;
  };
  const Field* find(std::string_view name) const;
  std::vector<Field> fields_;
};

// `option` is the name with its dash, for the sentence of a failure.
Result<Fields> parse_fields(std::string_view option, std::string_view value, const Grammar& grammar);

// One value of a key's type; `text` becomes its canonical spelling, `number` its number.
struct Scalar {
  std::string text;
  uint64_t number = 0;
};
// `where` begins the sentence of a failure, such as "-drive: 'aio'" or "-name".
Result<Scalar> parse_scalar(const std::string& where, std::string_view text, const Key& key);

// True when the two are the same but for '_' in place of '-'.
bool same_word(std::string_view a, std::string_view b);
// "a|b|c" -> {"a", "b", "c"}.
std::vector<std::string> split_words(std::string_view words, char separator = '|');
// {"a", "b", "c"} -> "a, b or c".
std::string any_of(const std::vector<std::string>& words);
// What a value of this key looks like, for help: "on|off", "PATH", "0..31".
std::string placeholder(const Key& key);
// `path` from the root, with "." and empty components taken out; ".." stays, as links decide what it means.
Result<std::string> absolute_path(std::string_view path);

}  // namespace nacre::cli
