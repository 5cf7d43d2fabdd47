// What becomes of plugin files that come, go and change while others are in use, and who is told.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "core/plugin/breadcrumb.hpp"
#include "core/plugin/digest.hpp"
#include "tests/plugins/workshop.hpp"

namespace nacre::test {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr char kGood[] = "org.nacre.test.good";

// A registry over one directory, and what it tells.
class HotLoad : public testing::Test, public PluginEvents {
 protected:
  void SetUp() override { begin({}); }

  void begin(RegistryOptions options) {
    options.directories = {{shop_.path(), false}};
    registry_ = std::make_unique<Registry>(hello(), std::move(options));
    registry_->set_events(this);
  }

  void plugin_loaded(const PluginInfo& plugin) override {
    told_.push_back(fmt::format("loaded {} {} {} {}", plugin.id, plugin.version, name_of(plugin.path),
                                fmt::join(plugin.drivers, ",")));
  }
  void plugin_rejected(const std::string& path, const std::string& reason) override {
    told_.push_back(fmt::format("rejected {}", name_of(path)));
    reason_ = reason;
  }
  void plugin_failed(const std::string& id, const std::string& path, const std::string& reason) override {
    told_.push_back(fmt::format("failed {} {}", id, name_of(path)));
    reason_ = reason;
  }

  std::string name_of(const std::string& path) const { return path.substr(path.rfind('/') + 1); }
  std::vector<std::string> told() { return std::exchange(told_, {}); }
  std::string load_driver(const std::string& driver = "test-good") { return load(*registry_, driver); }
  const nacre_type* type(const std::string& driver = "test-good") {
    Result<LoadedType> loaded = registry_->load(NACRE_KIND_DEVICE, driver);
    EXPECT_TRUE(loaded) << loaded.error().message;
    return loaded ? loaded->type : nullptr;
  }
  // "" or the failure.
  std::string load_file(const std::string& name) {
    Result<std::string> loaded = registry_->load_file(shop_.path(name));
    return loaded ? "" : loaded.error().message;
  }
  // "FILE VERSION STATE" of each.
  std::vector<std::string> listed() {
    std::vector<std::string> list;
    for (const PluginInfo& info : registry_->query())
      list.push_back(fmt::format("{} {} {}", name_of(info.path), info.version, state_name(info.state)));
    return list;
  }

  Workshop shop_;
  std::unique_ptr<Registry> registry_;
  std::vector<std::string> told_;
  std::string reason_;
};

TEST_F(HotLoad, ListenersHearOfLoadsRejectionsAndFailuresInTheirOrder) {
  ASSERT_TRUE(registry_->start());
  EXPECT_THAT(told(), IsEmpty());
  shop_.put("bad.so", "a text");
  shop_.put_fixture("good", "good.so");
  shop_.put_fixture("words", "words.so");
  EXPECT_EQ(load_driver(), "(loaded)");
  EXPECT_THAT(told(), ElementsAre("rejected bad.so", "loaded org.nacre.test.good 1.2 good.so test-good"));
  EXPECT_THAT(reason_, EndsWith("bad.so' is not an ELF file."));
  EXPECT_THAT(load_driver("test-words"), HasSubstr("refused to start: the licence has run out."));
  EXPECT_THAT(told(), ElementsAre("failed org.nacre.test.words words.so"));
  EXPECT_THAT(reason_, HasSubstr("the licence has run out"));
}

TEST_F(HotLoad, ARejectionIsToldOnceForEachReason) {
  shop_.put("bad.so", "a text");
  EXPECT_NE(load_driver(), "(loaded)");
  EXPECT_NE(load_driver(), "(loaded)");
  EXPECT_THAT(told(), ElementsAre("rejected bad.so"));
  shop_.put("bad.so", "");
  EXPECT_NE(load_driver(), "(loaded)");
  EXPECT_THAT(told(), ElementsAre("rejected bad.so"));
  EXPECT_THAT(reason_, HasSubstr("is empty"));
}

TEST_F(HotLoad, TheReasonOfARejectedNewFileIsInTheError) {
  ASSERT_TRUE(registry_->start());
  shop_.put("test-go.so", "a text");
  EXPECT_EQ(load_driver(), "device 'test-good' is not provided by any plugin, and " + shop_.path("test-go.so") +
                               " was rejected: it is not an ELF file.");
  shop_.put("x.so", with_note(fixture("good"), [](nacre_note* note) { note->abi_minor_needed = 999; }));
  EXPECT_THAT(load_driver(),
              AllOf(StartsWith("device 'test-good' is provided by " + shop_.path("x.so")),
                    HasSubstr("but that file was rejected: plugin 'org.nacre.test.good' 1.2 needs Nacre SDK")));
}

TEST_F(HotLoad, AFileRenamedOverAnotherServesNewDevices) {
  shop_.put_fixture("good", "x.so");
  const nacre_type* before = type();
  shop_.put("x.so", with_version("good", "1.3"));
  const nacre_type* after = type();
  EXPECT_NE(before, after);
  EXPECT_THAT(listed(), ElementsAre("x.so 1.2 superseded", "x.so 1.3 initialised"));
  EXPECT_THAT(registry_->query()[0].reason,
              "its file was replaced by plugin 'org.nacre.test.good' 1.3; devices that it has keep its code, new ones "
              "get the other.");
  EXPECT_THAT(told(), ElementsAre("loaded org.nacre.test.good 1.2 x.so test-good",
                                  "loaded org.nacre.test.good 1.3 x.so test-good"));
  // The code of the old one is there still.
  EXPECT_STREQ(before->name, "test-good");
  const auto* ops = static_cast<const nacre_device_ops*>(before->ops);
  void* self = nullptr;
  ASSERT_EQ(ops->create(nullptr, &self, nullptr), NACRE_OK);
  ops->destroy(self);
  // Whoever renames a file knows what for: an older version may come back.
  shop_.put_fixture("good", "x.so");
  EXPECT_NE(type(), after);
  EXPECT_THAT(listed(), ElementsAre("x.so 1.2 superseded", "x.so 1.3 superseded", "x.so 1.2 initialised"));
}

TEST_F(HotLoad, ABadFileRenamedOverAGoodOneChangesNothing) {
  shop_.put_fixture("good", "x.so");
  const nacre_type* before = type();
  shop_.put("x.so", "a text");
  EXPECT_EQ(type(), before);
  EXPECT_EQ(type(), before);
  EXPECT_THAT(listed(), ElementsAre("x.so 1.2 initialised", "x.so  rejected"));
  EXPECT_THAT(told(), ElementsAre("loaded org.nacre.test.good 1.2 x.so test-good", "rejected x.so"));
  std::filesystem::remove(shop_.path("x.so"));
  EXPECT_EQ(type(), before);
}

TEST_F(HotLoad, AScannedFileThatWasReplacedIsReadAgain) {
  shop_.put_fixture("good", "x.so");
  ASSERT_TRUE(registry_->start());
  shop_.put("x.so", with_version("good", "1.4"));
  EXPECT_EQ(load_driver(), "(loaded)");
  EXPECT_THAT(listed(), ElementsAre("x.so 1.4 initialised"));
  shop_.put_fixture("other", "y.so");
  EXPECT_EQ(load_driver("absent").substr(0, 15), "device 'absent'");
  shop_.overwrite("y.so", with_version("other", "1.5"));
  EXPECT_EQ(load_driver("test-other"), "(loaded)");
  EXPECT_THAT(listed(), ElementsAre("x.so 1.4 initialised", "y.so 1.5 initialised"));
  std::filesystem::remove(shop_.path("x.so"));
  EXPECT_EQ(load_driver(), "(loaded)");
}

TEST_F(HotLoad, ANewerFileOfTheSameIdTakesThePlaceByPluginLoad) {
  shop_.put_fixture("good", "a.so");
  const nacre_type* before = type();
  shop_.put("b.so", with_version("good", "1.3"));
  EXPECT_EQ(type(), before);  // nobody has asked for it
  EXPECT_EQ(load_file("b.so"), "");
  EXPECT_NE(type(), before);
  EXPECT_THAT(listed(), ElementsAre("a.so 1.2 superseded", "b.so 1.3 initialised"));
  EXPECT_THAT(registry_->query()[0].reason,
              StartsWith("plugin 'org.nacre.test.good' 1.3 was loaded in its place, from " + shop_.path("b.so")));
  // A scan leaves it at that.
  EXPECT_NE(load_driver("absent"), "(loaded)");
  EXPECT_THAT(listed(), ElementsAre("a.so 1.2 superseded", "b.so 1.3 initialised"));
}

TEST_F(HotLoad, AnEqualOrOlderFileOfTheSameIdIsRefused) {
  shop_.put_fixture("good", "a.so");
  const nacre_type* before = type();
  shop_.put("b.so", with_version("good", "1.1"));
  shop_.put("c.so", with_version("good", "1.2"));
  EXPECT_EQ(load_file("b.so"),
            "plugin 'org.nacre.test.good' 1.2 is there already, from " + shop_.path("a.so") + "; '" +
                shop_.path("b.so") +
                "' has version 1.1, which is not newer. Install it over that file by rename, disable "
                "'org.nacre.test.good' first, or start with -plugin prefer=" +
                shop_.path("b.so") + ".");
  EXPECT_THAT(load_file("c.so"), HasSubstr("has version 1.2, which is not newer"));
  EXPECT_EQ(load_file("a.so"), "");
  EXPECT_EQ(type(), before);
  EXPECT_THAT(listed(), ElementsAre("a.so 1.2 initialised", "b.so 1.1 rejected", "c.so 1.2 rejected"));
}

TEST_F(HotLoad, ANewerFileThatDoesNotStartLeavesTheOldOneInUse) {
  shop_.put_fixture("good", "a.so");
  const nacre_type* before = type();
  shop_.put("b.so", with(fixture("good"), "\"version\":\"1.2\"", "\"version\":\"1.3\""));  // its entry says 1.2
  EXPECT_THAT(load_file("b.so"), HasSubstr("is damaged"));
  EXPECT_EQ(type(), before);
  EXPECT_THAT(listed(), ElementsAre("a.so 1.2 initialised", "b.so 1.3 failed"));
}

TEST_F(HotLoad, DisablingFreesTheNameAndPluginLoadEnablesAgain) {
  shop_.put_fixture("good", "a.so");
  const nacre_type* before = type();
  ASSERT_TRUE(registry_->disable(kGood, 0));
  EXPECT_THAT(load_driver(), HasSubstr("which was disabled"));
  Result<std::string> again = registry_->disable(kGood, 0);
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, StartsWith("plugin 'org.nacre.test.good' is not in use: it is disabled."));
  // The same file comes back by name only.
  EXPECT_EQ(load_file("a.so"), "");
  EXPECT_EQ(type(), before);
  ASSERT_TRUE(registry_->disable(kGood, 0));
  // Any other may have the name.
  shop_.put("b.so", with_version("good", "1.0"));
  EXPECT_NE(type(), before);
  EXPECT_THAT(listed(), ElementsAre("a.so 1.2 disabled", "b.so 1.0 initialised"));
  EXPECT_THAT(told(), ElementsAre("loaded org.nacre.test.good 1.2 a.so test-good",
                                  "loaded org.nacre.test.good 1.2 a.so test-good",
                                  "loaded org.nacre.test.good 1.0 b.so test-good"));
  EXPECT_EQ(load_file("a.so"), "");  // the newer of the two
  EXPECT_EQ(type(), before);
  EXPECT_THAT(listed(), ElementsAre("a.so 1.2 initialised", "b.so 1.0 superseded"));
}

TEST_F(HotLoad, AFileOverwrittenWhileItsCodeIsInUseGetsNoMoreDevices) {
  shop_.put_fixture("other", "x.so");
  EXPECT_EQ(load_driver("test-other"), "(loaded)");
  told();
  // The same bytes: what the process has changed of them, it has lost.
  struct timespec times[2] = {{1, 0}, {1, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, shop_.path("x.so").c_str(), times, 0), 0);
  const std::string words = "the file of plugin 'org.nacre.test.other', '" + shop_.path("x.so") +
                            "', was overwritten while its code was in use: devices that it has may crash, and it gets "
                            "no more. Install plugins by rename, or pass -plugin-seal.";
  EXPECT_EQ(load_driver("test-other"), words);
  EXPECT_EQ(load_driver("test-other"), words);
  EXPECT_EQ(load_file("x.so"), words);
  EXPECT_THAT(told(), ElementsAre("failed org.nacre.test.other x.so"));
  EXPECT_EQ(reason_, words);
  shop_.put_fixture("other", "x.so");
  EXPECT_EQ(load_driver("test-other"), "(loaded)");
  EXPECT_THAT(listed(), ElementsAre("x.so 1.2 failed", "x.so 1.2 initialised"));
}

TEST_F(HotLoad, AnotherModeOrNameOfTheFileIsNoChange) {
  shop_.put_fixture("good", "x.so");
  const nacre_type* before = type();
  std::filesystem::permissions(shop_.path("x.so"), std::filesystem::perms(0600));
  EXPECT_EQ(type(), before);
  std::filesystem::rename(shop_.path("x.so"), shop_.path("y.so"));
  EXPECT_EQ(type(), before);
  EXPECT_NE(load_driver("absent"), "(loaded)");
  EXPECT_EQ(listed().size(), 1u);
}

TEST_F(HotLoad, InstancesThatFailAreTold) {
  shop_.put_fixture("good", "x.so");
  registry_->report_failure(type(), "it threw");
  EXPECT_THAT(told(), ElementsAre("loaded org.nacre.test.good 1.2 x.so test-good", "failed org.nacre.test.good x.so"));
  EXPECT_EQ(reason_, "it threw");
}

TEST_F(HotLoad, ACopyIsImmuneToOverwriting) {
  RegistryOptions options;
  options.seal = true;
  begin(options);
  shop_.put_fixture("good", "x.so");
  const nacre_type* before = type();
  shop_.overwrite("x.so", "");
  const auto* ops = static_cast<const nacre_device_ops*>(before->ops);
  void* self = nullptr;
  ASSERT_EQ(ops->create(nullptr, &self, nullptr), NACRE_OK);
  ops->destroy(self);
  EXPECT_EQ(type(), before);
  // What it was overwritten with is a new file.
  shop_.overwrite("x.so", with_version("good", "1.6"));
  EXPECT_NE(type(), before);
  EXPECT_EQ(ops->create(nullptr, &self, nullptr), NACRE_OK);
  ops->destroy(self);
  EXPECT_THAT(listed(), ElementsAre("x.so 1.2 superseded", "x.so 1.6 initialised"));
}

TEST_F(HotLoad, OnlyAllowedFilesAreUsed) {
  shop_.put_fixture("good", "good.so");
  shop_.put_fixture("other", "other.so");
  Fd file(::open(shop_.path("good.so").c_str(), O_RDONLY | O_CLOEXEC));
  Result<std::string> digest = sha256_of(file.get(), fixture("good").size(), "good.so");
  ASSERT_TRUE(digest) << digest.error().message;
  for (bool seal : {false, true}) {
    RegistryOptions options;
    options.allowed = {std::string(64, '0'), *digest};
    options.seal = seal;
    begin(options);
    EXPECT_EQ(load_driver(), "(loaded)");
    EXPECT_THAT(load_driver("test-other"), StartsWith("device 'test-other' is not provided by any plugin."));
    EXPECT_THAT(listed(), ElementsAre("good.so 1.2 initialised", "other.so  rejected"));
    EXPECT_THAT(registry_->query()[1].reason,
                StartsWith("'" + shop_.path("other.so") +
                           "' is not one of the allowed files. If it is to be trusted, pass -plugin-allow sha256:"));
  }
}

TEST(Digest, IsSha256) {
  Workshop shop;
  shop.put("abc", "abc");
  shop.put("empty", "");
  auto digest = [&](const char* name, uint64_t size) {
    Fd file(::open(shop.path(name).c_str(), O_RDONLY | O_CLOEXEC));
    Result<std::string> made = sha256_of(file.get(), size, name);
    return made ? *made : made.error().message;
  };
  EXPECT_EQ(digest("abc", 3), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest("empty", 0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest("abc", 4), "cannot read 'abc': it became shorter.");
}

TEST(CrashDeathTest, AFileOverwrittenInPlaceIsBlamed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Workshop shop;
        shop.put_fixture("good", "good.so");
        auto all = registry(shop.path());
        Result<LoadedType> loaded = all->load(NACRE_KIND_DEVICE, "test-good");
        crash::install_handlers();
        const auto unrealize = static_cast<const nacre_device_ops*>(loaded->type->ops)->unrealize;
        shop.overwrite("good.so", "");
        Breadcrumb crumb("org.nacre.test.good", "d0", "unrealize");
        unrealize(nullptr);
      },
      "crashed in unrealize of device 'd0' \\(SIG[A-Z]+ at .*The file good.so was overwritten while its code was in "
      "use: install plugins by rename, or pass -plugin-seal");
}

}  // namespace
}  // namespace nacre::test
