// Where broken plugins are made: a temporary directory, copies of the fixtures, and bytes changed in them.
#pragma once

#include <nacre/abi/entry.h>
#include <nacre/abi/note.h>
#include <sys/types.h>

#include <string>

#include "core/plugin/registry.hpp"

namespace nacre::test {

// A directory that ends with the object, with everything in it.
class Workshop {
 public:
  Workshop();
  ~Workshop();
  Workshop(const Workshop&) = delete;
  Workshop& operator=(const Workshop&) = delete;

  const std::string& path() const { return path_; }
  std::string path(const std::string& name) const { return path_ + "/" + name; }

  // Writes a file by renaming it into place, as packages do.
  void put(const std::string& name, const std::string& bytes);
  // Writes into the file that is there, as no package should.
  void overwrite(const std::string& name, const std::string& bytes);
  // Puts the fixture of that name there, as `name`.
  void put_fixture(const std::string& fixture, const std::string& name);

 private:
  std::string path_;
};

// The bytes of a built fixture: "good" for fixture-good.so.
std::string fixture(const std::string& name);

// The bytes with every occurrence of `from` replaced; both have the same length, or it is a defect of the test.
std::string with(std::string bytes, const std::string& from, const std::string& to);

// The bytes of a fixture, which says 1.2, as another version of three characters.
std::string with_version(const std::string& fixture, const std::string& version);

// The bytes with the head of the plugin note changed.
template <typename Change>
std::string with_note(std::string bytes, Change change) {
  size_t at = bytes.find(std::string(NACRE_NOTE_OWNER "\0\0\0", 8));
  change(reinterpret_cast<nacre_note*>(bytes.data() + at + 8));
  return bytes;
}

// A host that offers every service by name; of them only nacre.error/1 works.
const nacre_host_hello* hello();

// A registry over one directory.
std::unique_ptr<Registry> registry(const std::string& directory, bool hotload = true);

// The words of the failure, or "(loaded)".
std::string load(Registry& registry, const std::string& driver, uint32_t kind = NACRE_KIND_DEVICE);

// Becomes another user for a while, when this one is root; else does nothing.
class OtherUser {
 public:
  OtherUser();
  ~OtherUser();

 private:
  uid_t before_;
};

}  // namespace nacre::test
