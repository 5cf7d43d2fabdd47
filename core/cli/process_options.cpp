// -qmp, -mon and the options of plugins: how the process is managed, and where its parts come from.
#include <algorithm>

#include "core/base/suggest.hpp"
#include "core/cli/option_table.hpp"

namespace nacre::cli {

namespace {

// "unix:PATH" or "tcp:IP:PORT".
Result<QmpListener> read_address(const char* option, const std::string& address) {
  QmpListener listener;
  if (address.starts_with("unix:")) {
    Result<Scalar> path = parse_scalar(fmt::format("{} unix: the path", option), std::string_view(address).substr(5),
                                       {.name = "", .type = ValueType::SocketPath});
    if (!path) return path.error();
    listener.path = path->text;
    return listener;
  }
  if (!address.starts_with("tcp:"))
    return fail("{} cannot be '{}': write unix:PATH,server,nowait or tcp:IP:PORT,server,nowait.", option, address);
  const std::string_view rest = std::string_view(address).substr(4);
  const size_t colon = rest.find(':');
  if (colon == std::string_view::npos) return fail("{}: '{}' has no port; write tcp:IP:PORT.", option, address);
  Result<Scalar> host = parse_scalar(fmt::format("{} tcp: the address", option), rest.substr(0, colon),
                                     {.name = "", .type = ValueType::Ipv4});
  if (!host) return host.error();
  Result<Scalar> port = parse_scalar(fmt::format("{} tcp: the port", option), rest.substr(colon + 1),
                                     {.name = "", .type = ValueType::Integer, .low = 1, .high = 65535});
  if (!port) return port.error();
  listener.host = host->text;
  listener.port = static_cast<uint16_t>(port->number);
  return listener;
}

}  // namespace

Status apply_qmp(Draft& draft, const Given& given) {
  const std::string address = given.fields.text("address");
  Result<QmpListener> listener = read_address("-qmp", address);
  if (!listener) return listener.error();
  if (!given.fields.flag("server", false) || !given.fields.flag("nowait", false))
    return fail("Argument 'server' and 'nowait' are both required for -qmp; write '-qmp {},server,nowait'.", address);
  listener->iothread = given.fields.text("iothread");
  draft.options.qmp.push_back(std::move(*listener));
  return {};
}

Status apply_api_channel(Draft& draft, const Given& given) {
  Result<QmpListener> listener = read_address("-api-channel", given.value.text);
  if (!listener) return listener.error();
  draft.options.qmp.push_back(std::move(*listener));
  return {};
}

Status apply_landlock(Draft& draft, const Given& given) {
  Result<std::string> path = absolute_path(given.fields.text("path"));
  if (!path) return path.error();
  draft.options.landlock.push_back({std::move(*path), given.fields.text("access") == "rw"});
  return {};
}

Status apply_mon(Draft& draft, const Given& given) {
  draft.has_mon = true;
  draft.mon_chardev = given.fields.text("chardev");
  draft.mon_id = given.fields.text("id");
  return {};
}

Status apply_qtest(Draft& draft, const Given& given) {
  TestSocket& test = draft.options.test;
  std::string_view rest = given.text;
  if (!rest.starts_with("unix:"))
    return fail("-qtest cannot be '{}': write unix:PATH, or unix:PATH,server=on,wait=off.", given.text);
  rest.remove_prefix(5);
  const size_t end = std::min(rest.find(','), rest.size());
  Result<Scalar> path =
      parse_scalar("-qtest unix: the path", rest.substr(0, end), {.name = "", .type = ValueType::SocketPath});
  if (!path) return path.error();
  for (const std::string& word : split_words(rest.substr(end).substr(end < rest.size() ? 1 : 0), ',')) {
    if (word.empty() && end == rest.size()) break;
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    bool on = true;
    if (equals != std::string::npos) {
      Result<Scalar> value = parse_scalar(fmt::format("-qtest: {}", name), std::string_view(word).substr(equals + 1),
                                          {.name = "", .type = ValueType::Bool});
      if (!value) return value.error();
      on = value->number != 0;
    }
    if (name == "server")
      test.listen = on;
    else if (name != "wait" && name != "nowait")  // nothing runs that could wait
      return fail("-qtest: there is no key '{}'; it takes server and wait.{}", name,
                  did_you_mean(name, std::vector<std::string>{"server", "wait", "nowait"}));
  }
  if (!test.path.empty()) return fail("-qtest and -mod-test speak different dialects; give one of them.");
  test.path = path->text;
  return {};
}

Status apply_mod_test(Draft& draft, const Given& given) {
  std::string_view text = given.text;
  if (text.starts_with("unix:")) text.remove_prefix(5);
  Result<Scalar> path = parse_scalar("-mod-test: the path", text, {.name = "", .type = ValueType::SocketPath});
  if (!path) return path.error();
  if (!draft.options.test.path.empty()) return fail("-qtest and -mod-test speak different dialects; give one of them.");
  draft.options.test.path = path->text;
  draft.options.test.stratovirt = true;
  return {};
}

Status apply_plugin(Draft& draft, const Given& given) {
  PluginChoice& plugin = draft.options.plugin;
  if (given.fields.has("file")) {
    Result<std::string> path = absolute_path(given.fields.text("file"));
    if (!path) return path.error();
    plugin.files.push_back(*path);
  }
  if (given.fields.has("prefer")) plugin.preferred.push_back(given.fields.text("prefer"));
  return {};
}

Status apply_plugin_directory(Draft& draft, const Given& given, bool insecure) {
  Result<std::string> path = absolute_path(given.value.text);
  if (!path) return path.error();
  for (PluginDirectory& directory : draft.options.plugin.directories)
    if (directory.path == *path) {
      directory.insecure |= insecure;
      return {};
    }
  draft.options.plugin.directories.push_back({std::move(*path), insecure});
  return {};
}

}  // namespace nacre::cli
