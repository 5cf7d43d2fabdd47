#include "core/plugin/manifest.hpp"

#include <nacre/abi/entry.h>

namespace nacre {
namespace {

using testing::ElementsAre;

Result<Manifest> parse(const std::string& json) {
  PluginNote note;
  note.json = json;
  return parse_manifest(note, "/p/foo.so");
}

std::string failure(const std::string& json) {
  Result<Manifest> manifest = parse(json);
  return manifest ? "(accepted)" : manifest.error().message;
}

TEST(Manifest, ReadsWhatThePluginSays) {
  Result<Manifest> manifest = parse(R"({"id":"org.example.foo","version":"1.2","vendor":"Example",
      "provides":[{"kind":"device","name":"foo-device","bus":"virtio","aliases":["foo"]},
                  {"kind":"machine","name":"foo-board"}],
      "requires":["nacre.log/1"],"optional":["nacre.state/1"],"sandbox":{"paths":[],"system-calls":["ptrace","getsid"]},"later":[1,{}]})");
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(manifest->title(), "plugin 'org.example.foo' 1.2");
  ASSERT_EQ(manifest->provides.size(), 2u);
  EXPECT_EQ(manifest->provides[0].kind, uint32_t{NACRE_KIND_DEVICE});
  EXPECT_TRUE(manifest->provides[0].answers_to("foo"));
  EXPECT_EQ(manifest->provides[1].kind, uint32_t{NACRE_KIND_MACHINE});
  EXPECT_THAT(manifest->requires_extensions, ElementsAre("nacre.log/1"));
  EXPECT_THAT(manifest->optional_extensions, ElementsAre("nacre.state/1"));
  EXPECT_THAT(manifest->system_calls, ElementsAre("ptrace", "getsid"));
}

TEST(Manifest, NamesWhatIsWrong) {
  const std::string head = "'/p/foo.so' has a damaged plugin note: its description is not valid: ";
  EXPECT_EQ(failure("nonsense"), head + "it is not JSON.");
  EXPECT_EQ(failure("[]"), head + "it is not an object.");
  EXPECT_EQ(failure("{}"), head + "'id' is missing.");
  EXPECT_EQ(failure(R"({"id":7})"), head + "'id' is not a proper text.");
  EXPECT_EQ(failure(R"({"id":"a b"})"), head + "'id' is not a proper text.");
  EXPECT_EQ(failure(R"({"id":"a","version":"1\n2"})"), head + "'version' is not a proper text.");
  EXPECT_EQ(failure(R"({"id":"a","version":"1"})"), head + "'provides' names no driver.");
  EXPECT_EQ(failure(R"({"id":"a","version":"1","provides":[7]})"),
            head + "'provides' holds something that is not an object.");
  EXPECT_EQ(failure(R"({"id":"a","version":"1","provides":[{"kind":"toaster","name":"x"}]})"),
            head + "'toaster' is no kind of driver that this VMM knows.");
  EXPECT_EQ(failure(R"({"id":"a","version":"1","requires":"x","provides":[{"kind":"device","name":"x"}]})"),
            head + "'requires' is not a list of at most 128 items.");
  const std::string tail = R"(,"provides":[{"kind":"device","name":"x"}]})";
  EXPECT_EQ(failure(R"({"id":"a","version":"1","sandbox":[])" + tail), head + "'sandbox' is not an object.");
  EXPECT_EQ(failure(R"({"id":"a","version":"1","sandbox":{"system-calls":["get sid"]})" + tail),
            head + "'system-calls' holds something that is not a name.");
}

TEST(Manifest, DeepNestingIsRefused) {
  EXPECT_NE(failure(std::string(8000, '[') + std::string(8000, ']')), "(accepted)");
}

}  // namespace
}  // namespace nacre
