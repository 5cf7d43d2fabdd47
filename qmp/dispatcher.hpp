// The table of commands and events, and the way from a request's text to its answer's.
#pragma once

#include <list>
#include <string>

#include "qmp/command.hpp"

namespace nacre::qmp {

// Main thread only. Knows by itself: qmp_capabilities, query-version, query-commands, query-events, query-qmp-schema.
class Dispatcher {
 public:
  // `package` is shown by the greeting and query-version.
  explicit Dispatcher(std::string package);

  // Commands are listed in the order in which they are added. What the declaration points to must outlive it.
  void add(Command command);
  // At run time, with texts of its own; fails when the name is taken. Any arguments are handed on.
  Status add_plugin_command(const std::string& name, const std::string& help, Handler handler);
  void remove_plugin_command(const std::string& name);
  void set_events(std::span<const Event> events) { events_ = events; }

  // What a client sees first.
  std::string greeting() const;
  // Carries out one request and returns the answer, both without line ends.
  std::string answer(const std::string& request, Context& context);
  // The answer to what is no request.
  static std::string refusal(std::string_view sentence);

  const std::list<Command>& commands() const { return commands_; }
  std::span<const Event> events() const { return events_; }

 private:
  struct PluginCommand {
    std::string name, help;
  };

  Result<boost::json::value> carry_out(const boost::json::object& request, Context& context);
  boost::json::object version() const;

  std::string package_;
  std::list<Command> commands_;
  std::list<PluginCommand> plugin_commands_;  // own the texts of theirs
  std::span<const Event> events_;
};

}  // namespace nacre::qmp
