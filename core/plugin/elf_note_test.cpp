#include "core/plugin/elf_note.hpp"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "core/base/fd.hpp"

namespace nacre {
namespace {

using testing::HasSubstr;

constexpr char kJson[] = R"({"id":"org.example.foo"})";

#if defined(__x86_64__)
constexpr uint16_t kMachine = EM_X86_64, kOther = EM_AARCH64;
constexpr uint8_t kArch = NACRE_ARCH_X86_64;
#else
constexpr uint16_t kMachine = EM_AARCH64, kOther = EM_X86_64;
constexpr uint8_t kArch = NACRE_ARCH_AARCH64;
#endif

// The smallest shared object that carries a note.
struct Bytes {
  Elf64_Ehdr header{};
  Elf64_Phdr load{};
  Elf64_Phdr note{};
  Elf64_Nhdr first{};  // another owner's, to be passed over
  char first_owner[4] = "GNU";
  char first_desc[4] = {1, 2, 3, 4};
  Elf64_Nhdr head{};
  char owner[8] = NACRE_NOTE_OWNER;
  nacre_note desc{};
  char json[sizeof kJson - 1];

  Bytes() {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_type = ET_DYN;
    header.e_machine = kMachine;
    header.e_phoff = offsetof(Bytes, load);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 2;
    load.p_type = PT_LOAD;
    load.p_filesz = sizeof *this;
    note.p_type = PT_NOTE;
    note.p_align = 4;
    note.p_offset = offsetof(Bytes, first);
    note.p_filesz = sizeof *this - offsetof(Bytes, first);
    first = {sizeof first_owner, sizeof first_desc, 3};
    head = {sizeof NACRE_NOTE_OWNER, static_cast<Elf64_Word>(sizeof desc + sizeof json), NACRE_NOTE_TYPE};
    desc.note_version = NACRE_NOTE_VERSION;
    desc.header_size = sizeof desc;
    desc.abi_minor_built = 1;
    desc.arch = kArch;
    desc.json_size = sizeof json;
    std::memcpy(json, kJson, sizeof json);
  }

  std::string text() const { return {reinterpret_cast<const char*>(this), sizeof *this}; }
};

Result<PluginNote> read(const std::string& bytes) {
  Fd fd(memfd_create("elf", 0));
  EXPECT_EQ(pwrite(fd.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  return read_plugin_note(fd.get(), bytes.size(), "/p/foo.so");
}

std::string failure(const std::string& bytes) {
  Result<PluginNote> note = read(bytes);
  return note ? "(accepted)" : note.error().message;
}

TEST(ElfNote, ReadsTheNote) {
  Result<PluginNote> note = read(Bytes().text());
  ASSERT_TRUE(note) << note.error().message;
  EXPECT_EQ(note->json, kJson);
  EXPECT_EQ(note->head.abi_minor_built, 1);
}

TEST(ElfNote, TakesWhatBothSidesKnowOfTheHead) {
  Bytes bytes;
  bytes.desc.header_size = offsetof(nacre_note, host_build_id);  // an older writer, whose JSON begins here
  bytes.desc.json_size = 4;
  std::memcpy(bytes.desc.host_build_id, "{\"i\"", 4);
  Result<PluginNote> note = read(bytes.text());
  ASSERT_TRUE(note) << note.error().message;
  EXPECT_EQ(note->json, "{\"i\"");
  EXPECT_EQ(note->head.host_build_id[0], 0);
}

TEST(ElfNote, SaysWhatTheFileIsInstead) {
  EXPECT_EQ(failure("#!/bin/sh\necho hello\n"), "'/p/foo.so' is not an ELF file.");
  EXPECT_EQ(failure(""), "'/p/foo.so' is empty; it is not an ELF file.");
  Bytes bytes;
  bytes.header.e_machine = kOther;
  EXPECT_THAT(failure(bytes.text()), HasSubstr("'/p/foo.so' is built for "));
  bytes = {};
  bytes.header.e_type = ET_EXEC;
  EXPECT_THAT(failure(bytes.text()), HasSubstr("no shared object"));
  bytes = {};
  bytes.head.n_type = 7;
  EXPECT_EQ(failure(bytes.text()),
            "'/p/foo.so' is an ELF library but carries no Nacre plugin note; it was not built with the Nacre SDK.");
  bytes = {};
  bytes.desc.json_size = sizeof kJson;
  EXPECT_THAT(failure(bytes.text()), HasSubstr("damaged plugin note"));
  bytes = {};
  bytes.load.p_filesz += 1;
  EXPECT_THAT(failure(bytes.text()), HasSubstr("Was it copied completely?"));
}

TEST(ElfNote, EveryTruncationIsRefused) {
  const std::string whole = Bytes().text();
  for (size_t length = 0; length < whole.size(); ++length) EXPECT_NE(failure(whole.substr(0, length)), "(accepted)");
}

TEST(ElfNote, NoFlippedBitReadsOutside) {
  const std::string whole = Bytes().text();
  Fd fd(memfd_create("elf", 0));
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string bytes = whole;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    ASSERT_EQ(pwrite(fd.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    Result<PluginNote> note = read_plugin_note(fd.get(), bytes.size(), "f");
    if (note) {
      EXPECT_LE(note->json.size(), sizeof kJson);
    }
    EXPECT_TRUE(needed_libraries(fd.get(), bytes.size()).empty());
  }
}

TEST(ElfNote, ASizeThatIsNotTheFilesIsNoHarm) {
  const std::string whole = Bytes().text();
  Fd fd(memfd_create("elf", 0));
  ASSERT_EQ(pwrite(fd.get(), whole.data(), 100, 0), 100);
  EXPECT_FALSE(read_plugin_note(fd.get(), whole.size(), "f"));
}

TEST(ElfNote, NamesTheLibrariesOfThisProgramsOwn) {
  Fd fd(open("/proc/self/exe", O_RDONLY));
  std::vector<std::string> needed = needed_libraries(fd.get(), static_cast<uint64_t>(lseek(fd.get(), 0, SEEK_END)));
  EXPECT_THAT(needed, testing::Contains("libc.so.6"));
}

}  // namespace
}  // namespace nacre
