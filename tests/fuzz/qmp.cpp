// What a client sends to the management socket: framing, JSON, the check of arguments, dispatch.
#include "core/base/result.hpp"
#include "qmp/session.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/qmp_answers.hpp"
#include "tests/fuzz/quiet.hpp"

namespace {

namespace json = boost::json;
using namespace nacre;
using namespace nacre::qmp;
using fuzz::require;

// A declaration of each shape; the handlers give back what they got.
constexpr std::string_view kColours[] = {"red", "green"};
constexpr Argument kFile[] = {{"filename", Type::String, true, "a file"}, {"size", Type::Int, false, "bytes"}};
constexpr Argument kPaint[] = {{"id", Type::String, true, "what"},
                               {"coats", Type::Int, false, "how often"},
                               {"share", Type::Number, false, "how much"},
                               {"wet", Type::Bool, false, "is it"},
                               {"colour", Type::String, false, "which", kColours},
                               {"file", Type::Object, false, "where", {}, kFile},
                               {"layers", Type::Array, false, "all of them"},
                               {"more", Type::Any, false, "anything"}};
constexpr Argument kOther[] = {{"brush", Type::String, true, "with what"}};
constexpr Event kEvents[] = {{"PAINTED", "something was painted", kPaint}};

Result<json::value> give_back(const json::object& arguments, Context& context) {
  (void)context.take_fd();
  return json::value(arguments);
}

Dispatcher& dispatcher() {
  static Dispatcher& made = *[] {
    auto* fresh = new Dispatcher("Nacre-fuzz");
    fresh->add({"paint", "paints", "object", kPaint, give_back});
    fresh->add({"device_add", "takes more", "object", kFile, give_back, true});
    fresh->add({"netdev_add",
                "of two sorts",
                "object",
                kFile,
                give_back,
                false,
                {[](const json::object& arguments) { return arguments.contains("brush"); }, kOther}});
    fresh->add({"fail", "fails", "nothing", {}, [](const json::object&, Context&) -> Result<json::value> {
                  return Error{"there is no such device.", ErrorClass::DeviceNotFound};
                }});
    (void)fresh->add_plugin_command("x-test", "of a plugin", give_back);
    fresh->set_events(kEvents);
    return fresh;
  }();
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Session whole(dispatcher());
  whole.feed(bytes);
  fuzz::for_each_answer(whole.output(), [](const json::object&) {});
  // As it comes over a slow line.
  Session pieces(dispatcher());
  const size_t piece = 1 + size % 3;
  for (size_t at = 0; at < size && !pieces.closed(); at += piece) pieces.feed(bytes.substr(at, piece));
  require(whole.output() == pieces.output(), "answers do not depend on how the bytes arrive");
  return 0;
}
