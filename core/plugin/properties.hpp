// The values of a device's or machine's properties: parsed and checked against the table of its driver.
#pragma once

#include <nacre/abi/entry.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/result.hpp"

namespace nacre {

// The property table of a type, each entry in the host's own layout: fields that the plugin's SDK did not have are
// zero.
std::vector<nacre_prop> properties_of(const nacre_type& type);

// What a user may write for a property: "on|off", "1..16", "size up to 4294967296", "writeback|none", "id of a
// chardev".
std::string allowed_values(const nacre_prop& property);

// Whether it names what stands behind the device: a drive, a netdev, a chardev.
bool is_back_end(const nacre_prop& property);

// The answer to `-device NAME,help` or `-machine NAME,help`: several lines, each ended.
std::string describe(const nacre_type& type);

// Movable; strings that it has given out stay valid until it is moved or destroyed. Reading is safe on any thread.
class PropertyValues {
 public:
  // Texts as the user wrote them, in the user's order; underscores in a name stand for hyphens. Numbers and booleans
  // from QMP come as their decimal form and as "true" or "false".
  using Given = std::vector<std::pair<std::string, std::string>>;

  // Parses and checks the values, and fills in the defaults. Fails with one sentence that names the property and says
  // what is allowed. A deprecated property works and is logged. A `vacant` device waits for its back end: even one that
  // is required may be missing.
  static Result<PropertyValues> parse(const nacre_type& type, const Given& given, bool vacant = false);

  // Returns the name of a property as the type has it. Fails as parse() does for a name or a value that is wrong.
  static Result<std::string> check(const nacre_type& type, const std::string& name, const std::string& text);
  // Adds a value for parse() where none is given.
  static void add_default(Given& given, const std::string& name, const std::string& text);

  // Those of the values, to be read by parse(), that say a descriptor: the property's name in the table, and the text,
  // where another may be put.
  static std::vector<std::pair<std::string, std::string*>> descriptors(const nacre_type& type, Given& given);

  // Return NACRE_NOT_FOUND when the property is unset and has no default or is not in the table, NACRE_INVALID when it
  // is of another type. A PCI address is the number slot * 8 + function; a size is in bytes.
  nacre_status get_bool(std::string_view name, bool& value) const;
  nacre_status get_u64(std::string_view name, uint64_t& value) const;
  nacre_status get_string(std::string_view name, const char*& value) const;

  // The value as text, or NULL when it is unset.
  const char* text(std::string_view name) const;
  // What stands behind the device: a "block", "net", "chardev", ... and its id; both NULL when nothing does.
  struct BackEnd {
    const char* kind = nullptr;
    const char* id = nullptr;
  };
  BackEnd back_end() const;
  // All set values but that and descriptors, which are the device's own: as parse() takes them.
  Given without_back_end() const;

 private:
  struct Value {
    std::string name;
    uint32_t type;
    const char* back_end;  // its kind, or NULL when it is none
    std::string text;
    uint64_t number;
  };
  const Value* find(std::string_view name) const;

  std::vector<Value> values_;
};

}  // namespace nacre
