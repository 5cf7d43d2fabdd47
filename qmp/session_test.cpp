#include "qmp/session.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <random>

#include "qmp/event_text.hpp"

namespace nacre::qmp {
namespace {
namespace json = boost::json;

constexpr std::string_view kColours[] = {"red", "green"};
constexpr Argument kInner[] = {{"filename", Type::String, true, "a file"}, {"aio", Type::String, false, "engine"}};
constexpr Argument kPaint[] = {{"id", Type::String, true, "what"},
                               {"coats", Type::Int, false, "how often"},
                               {"colour", Type::String, false, "which", kColours},
                               {"file", Type::Object, false, "where", {}, kInner}};
constexpr Event kEvents[] = {{"PAINTED", "something was painted", kPaint}};

class SessionTest : public testing::Test {
 protected:
  SessionTest() : dispatcher_("Nacre-test") {
    dispatcher_.add(
        {"paint", "paints", "object", kPaint, [](const json::object& arguments, Context&) -> Result<json::value> {
           return json::object{{"painted", arguments.at("id")}};
         }});
    dispatcher_.add({"fail", "fails", "nothing", {}, [](const json::object&, Context&) -> Result<json::value> {
                       return Error{"no such device", ErrorClass::DeviceNotFound};
                     }});
    dispatcher_.add(
        {"fd", "takes a descriptor", "int", {}, [](const json::object&, Context& context) -> Result<json::value> {
           int fd = context.take_fd();
           if (fd >= 0) ::close(fd);
           return json::value(fd >= 0);
         }});
    dispatcher_.set_events(kEvents);
  }
  // Sends a request and returns the parsed answer.
  json::object ask(const std::string& request) {
    session_.sent(session_.output().size());
    session_.feed(request);
    std::string text = session_.output();
    EXPECT_TRUE(text.ends_with("\r\n")) << text;
    return json::parse(text.substr(0, text.size() - 2)).as_object();
  }
  std::string words(const std::string& request) { return std::string(ask(request).at("error").at("desc").as_string()); }
  std::string kind(const std::string& request) { return std::string(ask(request).at("error").at("class").as_string()); }

  Dispatcher dispatcher_;
  Session session_{dispatcher_};
};

TEST_F(SessionTest, GreetsAsQemuClientsExpect) {
  EXPECT_EQ(session_.output(),
            "{\"QMP\":{\"version\":{\"qemu\":{\"micro\":1,\"minor\":0,\"major\":5},\"package\":\"Nacre-test\"},"
            "\"capabilities\":[]}}\r\n");
}

TEST_F(SessionTest, NeedsNoNegotiation) {
  EXPECT_EQ(ask(R"({"execute":"paint","arguments":{"id":"wall"}})").at("return").at("painted"), "wall");
  EXPECT_TRUE(ask(R"({"execute":"qmp_capabilities"})").at("return").as_object().empty());
}

TEST_F(SessionTest, EchoesAnyId) {
  for (const char* id : {"1", "\"x\"", "null", "{\"a\":[1]}", "1.5", "true"}) {
    std::string request = std::string(R"({"execute":"qmp_capabilities","id":)") + id + "}";
    json::object answer = ask(request);
    EXPECT_EQ(answer.at("id"), json::parse(id));
    EXPECT_EQ(std::string(answer.rbegin()->key()), "id");  // last
  }
  EXPECT_EQ(ask(R"({"execute":"nothing","id":7})").at("id"), 7);
}

TEST_F(SessionTest, SaysWhatIsWrong) {
  EXPECT_EQ(words(R"({"execute":"pant"})"), "The command pant has not been found. Did you mean 'paint'?");
  EXPECT_EQ(kind(R"({"execute":"pant"})"), "CommandNotFound");
  EXPECT_EQ(kind(R"({"execute":"fail"})"), "DeviceNotFound");
  EXPECT_EQ(words(R"({"execute":"paint"})"), "'paint' needs the argument 'id' (a string).");
  EXPECT_EQ(words(R"({"execute":"paint","arguments":{"id":1}})"),
            "the argument 'id' of 'paint' must be a string, not 1.");
  EXPECT_EQ(words(R"({"execute":"paint","arguments":{"id":"a","coat":1}})"),
            "'paint' has no argument 'coat'; it takes: id, coats, colour, file. Did you mean 'coats'?");
  EXPECT_EQ(words(R"({"execute":"paint","arguments":{"id":"a","colour":"gren"}})"),
            "the argument 'colour' of 'paint' is 'gren'; it may be: red, green. Did you mean 'green'?");
  EXPECT_EQ(words(R"({"execute":"paint","arguments":{"id":"a","file":{"aio":"x"}}})"),
            "'paint' needs the argument 'file.filename' (a string).");
  EXPECT_EQ(words(R"({"execute":"paint","arguments":[]})"), "'arguments' of 'paint' must be an object.");
  EXPECT_EQ(words(R"({"execute":"paint","extra":1})"),
            "a request has no member 'extra'; it has: execute, arguments, id.");
  EXPECT_EQ(words(R"({"run":"paint"})"), "a request has no member 'run'; it has: execute, arguments, id.");
  EXPECT_EQ(words(R"({})"), "a request names its command in 'execute', as a string.");
  EXPECT_EQ(kind("{\"execute\":\"paint\",}"), "GenericError");
  EXPECT_EQ(kind("{\"execute\":\"\xff\xfe\"}"), "GenericError");
  EXPECT_EQ(kind("garbage\n"), "GenericError");
  EXPECT_FALSE(session_.closed());
}

TEST_F(SessionTest, ListsCommandsAndDescribesThem) {
  json::array commands = ask(R"({"execute":"query-commands"})").at("return").as_array();
  json::array schema = ask(R"({"execute":"query-qmp-schema"})").at("return").as_array();
  for (auto& command : commands) {
    bool found = false;
    for (auto& entry : schema) found |= entry.at("meta-type") == "command" && entry.at("name") == command.at("name");
    EXPECT_TRUE(found) << command;
  }
  // Every type that is named is described.
  auto described = [&](const json::value& name) {
    for (auto& entry : schema)
      if (entry.at("name") == name) return true;
    return false;
  };
  for (auto& entry : schema) {
    if (auto* type = entry.as_object().if_contains("arg-type")) {
      EXPECT_TRUE(described(*type)) << *type;
    }
    if (auto* members = entry.as_object().if_contains("members"))
      for (auto& member : members->as_array())
        if (auto* type = member.as_object().if_contains("type")) {
          EXPECT_TRUE(described(*type)) << *type;
        }
  }
  EXPECT_EQ(ask(R"({"execute":"query-events"})").at("return").as_array().size(), 1u);
}

TEST_F(SessionTest, TakesPluginCommandsAndForgetsThem) {
  ASSERT_TRUE(dispatcher_.add_plugin_command(
      "x-foo-count", "counts",
      [](const json::object& a, Context&) -> Result<json::value> { return json::value(a.size()); }));
  EXPECT_FALSE(dispatcher_.add_plugin_command("x-foo-count", "again", {}));
  EXPECT_EQ(ask(R"({"execute":"x-foo-count","arguments":{"a":1,"b":2}})").at("return"), 2);
  dispatcher_.remove_plugin_command("x-foo-count");
  EXPECT_EQ(kind(R"({"execute":"x-foo-count"})"), "CommandNotFound");
}

TEST_F(SessionTest, GivesADescriptorToItsRequestOnly) {
  std::vector<Fd> fds;
  fds.emplace_back(::dup(0));
  session_.feed(R"({"execute":"fd"}{"execute":"fd"})", std::move(fds));
  EXPECT_NE(session_.output().find("{\"return\":true}\r\n{\"return\":false}\r\n"), std::string::npos);
}

TEST_F(SessionTest, DropsEventsOfAClientThatDoesNotReadAndGivesItUpInTheEnd) {
  std::string event = event_text("PAINTED", {{"id", std::string(1000, 'x')}});
  for (int i = 0; i < 5000; ++i) session_.send_event(event);
  EXPECT_LT(session_.output().size(), Session::kSlow + 4000);
  EXPECT_FALSE(session_.closed());
  for (int i = 0; i < 40000 && !session_.closed(); ++i) session_.feed(R"({"execute":"query-qmp-schema"})");
  EXPECT_TRUE(session_.closed());
  EXPECT_LT(session_.output().size(), Session::kHopeless + (1 << 20));
}

TEST_F(SessionTest, EndsAConnectionWithNoHope) {
  session_.feed("{\"execute\":" + std::string(100, '['));
  EXPECT_TRUE(session_.closed());
}

TEST_F(SessionTest, AnswersALongUnknownNameInFewWords) {
  const std::string longest(900'000, 'q');
  EXPECT_LT(words("{\"execute\":\"" + longest + "\"}").size(), 300u);
  EXPECT_LT(words(R"({"execute":"paint","arguments":{"id":"a",")" + longest + "\":1}}").size(), 300u);
  EXPECT_LT(words(R"({"execute":"paint","arguments":{"id":"a","colour":")" + longest + "\"}}").size(), 300u);
}

TEST_F(SessionTest, NeverCutsACharacter) {
  std::string umlauts;
  for (int i = 0; i < 60; ++i) umlauts += "\xc3\xa4";
  // Parsed by ask(): half a character would not be.
  EXPECT_FALSE(words(R"({"execute":"paint","arguments":{"id":"a","coats":")" + umlauts + "\"}}").empty());
  EXPECT_FALSE(words(R"({"execute":"paint","arguments":{"id":"a","coats":"x)" + umlauts + "\"}}").empty());
}

TEST_F(SessionTest, SaysThatTheTextIsNotUtf8) {
  EXPECT_EQ(words("{\"execute\":\"\xff\"}"), "the request is not valid UTF-8.");
  EXPECT_EQ(words("{\"execute\":\"\xed\xa0\x80\"}"), "the request is not valid UTF-8.");  // a surrogate
}

TEST_F(SessionTest, TurnsWhatAHandlerThrowsIntoAnError) {
  dispatcher_.add(
      {"careless",
       "reads what is not there",
       "any",
       {},
       [](const json::object& arguments, Context&) -> Result<json::value> { return arguments.at("missing"); }});
  EXPECT_EQ(kind(R"({"execute":"careless"})"), "GenericError");
}

TEST_F(SessionTest, HoldsOnlyTheNewestDescriptors) {
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  session_.feed("{");
  std::vector<Fd> older, newer;
  older.emplace_back(pipe_ends[1]);
  newer.emplace_back(::dup(0));
  session_.feed(" ", std::move(older));
  session_.feed(" ", std::move(newer));
  char byte;
  EXPECT_EQ(::read(pipe_ends[0], &byte, 1), 0);  // the only writing end is closed
  ::close(pipe_ends[0]);
  session_.feed("\"execute\":\"fd\"}");
  EXPECT_NE(session_.output().find("{\"return\":true}"), std::string::npos);
}

TEST_F(SessionTest, SurvivesRandomRequests) {
  std::mt19937 random(11);
  const std::string seed =
      R"({"execute":"paint","arguments":{"id":"wall","coats":2,"file":{"filename":"f"}},"id":[1,"x"]})";
  for (int i = 0; i < 20000; ++i) {
    std::string request = seed;
    for (unsigned n = random() % 4; n-- > 0;) request[random() % request.size()] = static_cast<char>(random() % 256);
    Session session(dispatcher_);
    session.feed(request + "\n");
    std::string_view rest = session.output();
    while (!rest.empty()) {
      size_t end = rest.find("\r\n");
      ASSERT_NE(end, std::string_view::npos);
      json::error_code failed;
      json::parse(rest.substr(0, end), failed);
      ASSERT_FALSE(failed) << rest.substr(0, end);
      rest.remove_prefix(end + 2);
    }
  }
}

}  // namespace
}  // namespace nacre::qmp
