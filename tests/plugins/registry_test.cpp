// What becomes of good and broken plugin files, in the words that users read.
#include "core/plugin/registry.hpp"

#include <elf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "core/plugin/properties.hpp"
#include "core/plugin/version.hpp"
#include "tests/plugins/workshop.hpp"

namespace nacre::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kVersion = kHostVersion;
const std::string kAbi = fmt::format("{}.{}", NACRE_ABI_MAJOR, NACRE_ABI_MINOR);

#if defined(__x86_64__)
constexpr uint16_t kOtherMachine = EM_AARCH64;
constexpr char kBuiltFor[] = "is built for aarch64; this VMM runs on x86_64.";
#else
constexpr uint16_t kOtherMachine = EM_X86_64;
constexpr char kBuiltFor[] = "is built for x86_64; this VMM runs on aarch64.";
#endif

// The reason under which the one file of a directory is listed.
std::string reason(const std::string& bytes) {
  Workshop shop;
  shop.put("x.so", bytes);
  auto all = registry(shop.path());
  EXPECT_TRUE(all->start());
  std::vector<PluginInfo> infos = all->query();
  EXPECT_EQ(infos.size(), 1u);
  if (infos.empty()) return "";
  std::string words = infos[0].reason;
  if (size_t at = words.find(shop.path("x.so")); at != std::string::npos)
    words.replace(at, shop.path("x.so").size(), "<path>");
  return words;
}

TEST(Registry, LoadsADriverOnFirstUse) {
  Workshop shop;
  shop.put_fixture("good", "good.so");
  shop.put_fixture("other", "other.so");
  auto all = registry(shop.path());
  ASSERT_TRUE(all->start());
  for (const PluginInfo& info : all->query()) EXPECT_EQ(info.state, PluginState::Scanned);
  Result<LoadedType> loaded = all->load(NACRE_KIND_DEVICE, "test-good");
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_STREQ(loaded->type->name, "test-good");
  EXPECT_EQ(loaded->plugin_id, "org.nacre.test.good");
  EXPECT_EQ(loaded->path, shop.path("good.so"));
  EXPECT_EQ(all->query()[0].state, PluginState::Initialised);
  EXPECT_EQ(all->query()[1].state, PluginState::Scanned);
  Result<LoadedType> again = all->load(NACRE_KIND_DEVICE, "alias-of-good");
  ASSERT_TRUE(again);
  EXPECT_EQ(again->type, loaded->type);
  Result<PropertyValues> values = PropertyValues::parse(*loaded->type, {{"level", "3"}});
  EXPECT_TRUE(values);
  EXPECT_THAT(all->driver_list(NACRE_KIND_DEVICE),
              AllOf(HasSubstr("test-good (also alias-of-good), bus isa, from " + shop.path("good.so") +
                              " (org.nacre.test.good): a device for tests\n"),
                    HasSubstr("test-other")));
  EXPECT_THAT(all->plugin_list(), HasSubstr(shop.path("other.so") + ": org.nacre.test.other 1.2, scanned, SDK " + kAbi +
                                            ", stable: test-other\n"));
}

TEST(Registry, ScanningRunsNothingOfAFile) {
  Workshop shop;
  const std::string trace = shop.path("trace");
  setenv("NACRE_FIXTURE_TRACE", trace.c_str(), 1);
  shop.put_fixture("constructor", "constructor.so");
  auto all = registry(shop.path());
  ASSERT_TRUE(all->start());
  all->drivers();
  all->plugin_list();
  EXPECT_FALSE(std::filesystem::exists(trace));
  EXPECT_EQ(load(*all, "test-constructor"), "(loaded)");
  EXPECT_TRUE(std::filesystem::exists(trace));
  unsetenv("NACRE_FIXTURE_TRACE");
}

TEST(Registry, UnknownDriver) {
  Workshop shop;
  shop.put_fixture("good", "good.so");
  shop.put_fixture("other", "other.so");
  auto all = registry(shop.path());
  EXPECT_EQ(load(*all, "test-goood"), "device 'test-goood' is not provided by any plugin. Searched: " + shop.path() +
                                          " (2 plugins, 2 drivers). Did you mean 'test-good'?");
  EXPECT_EQ(load(*all, "test-good", NACRE_KIND_MACHINE),
            "machine 'test-good' is not provided by any plugin. Searched: " + shop.path() + " (2 plugins, 2 drivers).");
}

TEST(Registry, EmptyAndMissingDirectories) {
  Workshop shop;
  EXPECT_EQ(load(*registry(shop.path()), "test-good"),
            "device 'test-good' is not provided by any plugin. Searched: " + shop.path() + " (0 plugins, 0 drivers).");
  EXPECT_EQ(load(*registry(shop.path("none")), "test-good"),
            "plugin directory '" + shop.path("none") + "' does not exist.");
  shop.put("file", "");
  EXPECT_EQ(load(*registry(shop.path("file")), "test-good"),
            "plugin directory '" + shop.path("file") + "' is not a directory.");
}

TEST(Registry, AnInstalledFileIsFoundWithoutARestart) {
  Workshop shop;
  auto all = registry(shop.path());
  ASSERT_TRUE(all->start());
  EXPECT_NE(load(*all, "test-good"), "(loaded)");
  shop.put_fixture("good", "good.so");
  EXPECT_EQ(load(*all, "test-good"), "(loaded)");
}

TEST(Registry, AReplacedFileServesNewDevices) {
  Workshop shop;
  shop.put_fixture("good", "x.so");
  auto all = registry(shop.path());
  EXPECT_EQ(load(*all, "test-good"), "(loaded)");
  shop.put_fixture("other", "x.so");
  EXPECT_EQ(load(*all, "test-other"), "(loaded)");
  EXPECT_EQ(all->drivers().size(), 1u);
  shop.put("x.so", fixture("good"));
  EXPECT_EQ(load(*all, "test-good"), "(loaded)");
}

TEST(Registry, WithoutHotLoadEverythingIsMappedAtStart) {
  Workshop shop;
  shop.put_fixture("good", "good.so");
  auto all = registry(shop.path(), false);
  ASSERT_TRUE(all->start());
  EXPECT_EQ(all->query()[0].state, PluginState::Initialised);
  EXPECT_EQ(load(*all, "test-good"), "(loaded)");
  shop.put_fixture("other", "other.so");
  EXPECT_THAT(load(*all, "test-other"), StartsWith("device 'test-other' is not provided by any plugin."));
  Result<std::string> loaded = all->load_file(shop.path("other.so"));
  ASSERT_FALSE(loaded);
  EXPECT_EQ(
      loaded.error().message,
      "cannot load 'org.nacre.test.other' now: the sandbox forbids new code. Start with -plugin-hotload on, or name "
      "it with -plugin at start.");
}

TEST(Registry, OneMoreFileByName) {
  Workshop shop, elsewhere;
  elsewhere.put_fixture("good", "good.so");
  elsewhere.put("b.so", "text");
  auto all = registry(shop.path());
  Result<std::string> id = all->load_file(elsewhere.path("good.so"));
  ASSERT_TRUE(id) << id.error().message;
  EXPECT_EQ(*id, "org.nacre.test.good");
  EXPECT_EQ(load(*all, "test-good"), "(loaded)");
  Result<std::string> missing = all->load_file(elsewhere.path("god.so"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "plugin file '" + elsewhere.path("god.so") + "' does not exist. (Directory '" +
                                         elsewhere.path() + "' holds: b.so, good.so.)");
  Result<std::string> text = all->load_file(elsewhere.path("b.so"));
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().message, std::string("'") + elsewhere.path("b.so") + "' is not an ELF file.");
}

TEST(Registry, DisablingTakesTheNamesAndKeepsTheCode) {
  Workshop shop;
  shop.put_fixture("good", "good.so");
  auto all = registry(shop.path());
  EXPECT_EQ(load(*all, "test-good"), "(loaded)");
  EXPECT_FALSE(all->disable("org.nacre.test.good", 2));
  Result<std::string> done = all->disable("org.nacre.test.good", 0);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(*done,
            "plugin code stays mapped until exit; all 0 devices of 'org.nacre.test.good' are gone and its name is "
            "free for another file.");
  EXPECT_EQ(load(*all, "test-good"),
            "device 'test-good' is provided by plugin 'org.nacre.test.good', which was disabled.");
  EXPECT_EQ(all->query()[0].state, PluginState::Disabled);
  Result<std::string> wrong = all->disable("org.nacre.test.god", 0);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message, "there is no plugin 'org.nacre.test.god'. Did you mean 'org.nacre.test.good'?");
}

TEST(Rejected, WhatIsNoPlugin) {
  EXPECT_EQ(reason("a text"), "'<path>' is not an ELF file.");
  EXPECT_EQ(reason(""), "'<path>' is empty; it is not an ELF file.");
  EXPECT_EQ(reason(fixture("plain")),
            "'<path>' is an ELF library but carries no Nacre plugin note; it was not built with the Nacre SDK.");
  const std::string good = fixture("good");
  EXPECT_THAT(reason(good.substr(0, good.size() / 4)), HasSubstr("Was it copied completely?"));
  EXPECT_THAT(reason(good.substr(0, 40)), HasSubstr("damaged ELF file"));
}

TEST(Rejected, AnotherMachinesLibrary) {
  std::string bytes = fixture("good");
  std::memcpy(bytes.data() + offsetof(Elf64_Ehdr, e_machine), &kOtherMachine, sizeof kOtherMachine);
  EXPECT_EQ(reason(bytes), std::string("'<path>' ") + kBuiltFor);
}

TEST(Rejected, AnotherContract) {
  EXPECT_EQ(reason(with_note(fixture("good"), [](nacre_note* note) { note->abi_minor_built = 0; })),
            "plugin 'org.nacre.test.good' 1.2 was built with Nacre SDK 0.0; this VMM (Nacre " + kVersion +
                ") accepts SDK " + kAbi + ". Ask its vendor for a build against SDK " + kAbi + ".");
  EXPECT_EQ(reason(with_note(fixture("good"), [](nacre_note* note) { note->abi_major = 3; })),
            "plugin 'org.nacre.test.good' 1.2 was built with Nacre SDK 3.1; this VMM (Nacre " + kVersion +
                ") offers SDK " + kAbi + ". Rebuild it against SDK " + kAbi + " or use a newer Nacre.");
  EXPECT_EQ(
      reason(with(fixture("good"), "nacre.error/1", "nacre.error/7")),
      "plugin 'org.nacre.test.good' requires host feature 'nacre.error/7', which this VMM does not offer (it offers "
      "nacre.error/1).");
  EXPECT_THAT(
      reason(with_note(fixture("locked"), [](nacre_note* note) { std::memset(note->host_build_id, 0x4f, 20); })),
      AllOf(StartsWith("plugin 'org.nacre.test.locked' belongs to Nacre build 4f4f4f4f4f4f...; this is build "),
            EndsWith("Locked plugins must come from the same package.")));
}

TEST(Rejected, TheUserIsToldWhichFileWouldHaveHadTheDriver) {
  Workshop shop;
  shop.put("good.so", with_note(fixture("good"), [](nacre_note* note) { note->abi_major = 3; }));
  shop.put("broken.so", fixture("other").substr(0, 5000));
  auto all = registry(shop.path());
  EXPECT_EQ(load(*all, "test-good"),
            "device 'test-good' is provided by " + shop.path("good.so") +
                ", but that file was rejected: plugin 'org.nacre.test.good' 1.2 was built with Nacre SDK 3.1; this VMM "
                "(Nacre " +
                kVersion + ") offers SDK " + kAbi + ". Rebuild it against SDK " + kAbi + " or use a newer Nacre.");
  EXPECT_THAT(load(*all, "broken"), StartsWith("device 'broken' is not provided by any plugin, and " +
                                               shop.path("broken.so") + " was rejected: it is a damaged ELF file"));
  EXPECT_THAT(load(*all, "elephant"), EndsWith("2 files were rejected; -plugin-list says why."));
  EXPECT_THAT(all->plugin_list(),
              HasSubstr(shop.path("broken.so") + ": rejected\n  '" + shop.path("broken.so") + "' is"));
}

TEST(Locked, ServesTheBuildItBelongsTo) {
  Workshop shop;
  shop.put_fixture("locked", "locked.so");
  auto all = registry(shop.path());
  EXPECT_EQ(load(*all, "test-locked"), "(loaded)");
  EXPECT_EQ(all->query()[0].tier, "locked");
}

TEST(Duplicates, OfAPluginId) {
  Workshop shop;
  shop.put_fixture("good", "a.so");
  shop.put("b.so", with(fixture("good"), "\"version\":\"1.2\"", "\"version\":\"1.3\""));
  const std::string both = "plugin id 'org.nacre.test.good' is found twice: " + shop.path("a.so") + " (1.2) and " +
                           shop.path("b.so") + " (1.3).";
  EXPECT_EQ(load(*registry(shop.path()), "test-good"),
            both + " Neither was used. Remove one or pass -plugin prefer=<path>.");
  RegistryOptions options;
  options.directories = {{shop.path(), false}};
  options.prefer = {shop.path("a.so")};
  Registry choosing(hello(), options);
  EXPECT_EQ(load(choosing, "test-good"), "(loaded)");
  EXPECT_EQ(choosing.query()[1].reason,
            both + " The one in use is " + shop.path("a.so") + "; plugin-load takes another that is newer.");
}

TEST(Duplicates, OneFileUnderTwoNamesIsOne) {
  Workshop shop;
  shop.put_fixture("good", "a.so");
  ASSERT_EQ(::link(shop.path("a.so").c_str(), shop.path("b.so").c_str()), 0);
  auto all = registry(shop.path());
  EXPECT_EQ(load(*all, "test-good"), "(loaded)");
  EXPECT_EQ(all->query().size(), 1u);
}

TEST(Duplicates, OfADriver) {
  Workshop shop;
  shop.put_fixture("good", "a.so");
  shop.put("b.so", with(fixture("good"), "org.nacre.test.good", "com.other.test.good"));
  auto all = registry(shop.path());
  EXPECT_EQ(load(*all, "test-good"), "driver 'test-good' is offered by 'org.nacre.test.good' (" + shop.path("a.so") +
                                         ") and 'com.other.test.good' (" + shop.path("b.so") +
                                         "). Choose with -device test-good,plugin=org.nacre.test.good.");
  EXPECT_TRUE(all->drivers()[0].conflicting);
  Result<LoadedType> chosen = all->load(NACRE_KIND_DEVICE, "test-good", "com.other.test.good");
  ASSERT_TRUE(chosen) << chosen.error().message;
  EXPECT_EQ(chosen->path, shop.path("b.so"));
}

TEST(Failed, AMissingLibrary) {
  Workshop shop;
  shop.put_fixture("dependent", "x.so");
  auto all = registry(shop.path());
  const std::string words =
      "plugin 'org.nacre.test.dependent' cannot be loaded: it needs 'libnacre-test-absent.so', which "
      "is not installed. (Its other dependencies were found.)";
  EXPECT_EQ(load(*all, "test-dependent"), words);
  EXPECT_EQ(load(*all, "test-dependent"), words);  // and stays so for this file
  EXPECT_EQ(all->query()[0].state, PluginState::Failed);
}

TEST(Failed, AMissingSymbol) {
  Workshop shop;
  shop.put_fixture("undefined", "x.so");
  EXPECT_EQ(
      load(*registry(shop.path()), "test-undefined"),
      "plugin 'org.nacre.test.undefined' cannot be loaded: it uses symbol 'nacre_test_symbol_v2' that none of its "
      "libraries define. It was probably built against a newer version of one of them.");
}

TEST(Failed, TheEntryIsNotThere) {
  Workshop shop;
  shop.put("x.so", with(fixture("good"), "nacre_plugin_entry_v0", "nacre_plugin_entry_vX"));
  EXPECT_EQ(load(*registry(shop.path()), "test-good"),
            std::string("'") + shop.path("x.so") +
                "' has a plugin note for 'org.nacre.test.good' but no entry point 'nacre_plugin_entry_v0'; the file is "
                "damaged or was stripped of its dynamic symbols.");
}

TEST(Failed, TheEntryContradictsTheNote) {
  Workshop shop;
  shop.put("x.so", with(fixture("good"), "\"version\":\"1.2\"", "\"version\":\"9.9\""));
  EXPECT_EQ(
      load(*registry(shop.path()), "test-good"),
      std::string("'") + shop.path("x.so") +
          "' is damaged: its plugin note says version '9.9', its entry point '1.2'. Get it from its vendor again.");
  shop.put("x.so", with(fixture("good"), "\"name\":\"test-good\"", "\"name\":\"test-gold\""));
  EXPECT_EQ(
      load(*registry(shop.path()), "test-gold"),
      std::string("'") + shop.path("x.so") +
          "' is damaged: its plugin note promises device 'test-gold', its entry point does not have it. Get it from "
          "its vendor again.");
}

TEST(Failed, TheInitRefuses) {
  Workshop shop;
  shop.put_fixture("words", "words.so");
  shop.put_fixture("silent", "silent.so");
  auto all = registry(shop.path());
  EXPECT_EQ(load(*all, "test-words"), "plugin 'org.nacre.test.words' refused to start: the licence has run out.");
  EXPECT_EQ(load(*all, "test-silent"),
            "plugin 'org.nacre.test.silent' refused to start and gave no reason; this is a defect of the plugin.");
}

// This program has none of the host's symbols but the loader's own: what loads here needs nothing of the VMM.
TEST(Tree, EveryPluginLoadsOutsideTheVmm) {
  auto all = registry(TREE_PLUGIN_DIRECTORY);
  Status started = all->start();
  ASSERT_TRUE(started) << started.error().message;
  EXPECT_FALSE(all->query().empty());
  for (const PluginInfo& info : all->query()) EXPECT_EQ(info.reason, "") << info.path;
  for (const DriverInfo& driver : all->drivers()) {
    Result<LoadedType> loaded = all->load(driver.kind, driver.name);
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_THAT(describe(*loaded->type), StartsWith(driver.name));
  }
}

}  // namespace
}  // namespace nacre::test
