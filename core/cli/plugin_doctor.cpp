// What a plugin file is, and what becomes of it on the way into a VMM: the registry's steps one by one, in its words.
#include <nacre/abi/note.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include "core/base/child.hpp"
#include "core/cli/plugin_command.hpp"
#include "core/plugin/directory.hpp"
#include "core/plugin/module.hpp"
#include "core/plugin/negotiate.hpp"
#include "core/plugin/registry.hpp"
#include "core/vm/host/services.hpp"

namespace nacre::cli {
namespace {

constexpr unsigned kLoadSeconds = 10;  // of constructors, entry and init()

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

std::string name_of(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

// One line for each check; remembers whether one has failed.
class Report {
 public:
  explicit Report(bool silent) : silent_(silent) {}

  void fine(const std::string& what) {
    if (!silent_) std::printf("ok      %s\n", what.c_str());
  }
  void wrong(const std::string& sentence) {
    failed_ = true;
    std::printf("wrong   %s\n", sentence.c_str());
  }
  void note(const std::string& sentence) {
    if (!silent_) std::printf("note    %s\n", sentence.c_str());
  }
  bool failed() const { return failed_; }

 private:
  bool silent_;
  bool failed_ = false;
};

// What could be read of the file.
struct Subject {
  PluginFile file;
  std::optional<PluginNote> note;
  std::optional<Manifest> manifest;
};

// Opens and reads the file as the registry would, but goes on after a fault as far as that makes sense.
Subject read_subject(const std::string& path, Report& report) {
  Subject subject;
  const std::string parent = parent_of(path), name = name_of(path);
  Result<PluginDirectory> directory = open_plugin_directory(parent, false);
  if (directory) {
    for (const std::string& warning : directory->warnings) report.note(warning);
    report.fine(fmt::format("directory '{}' can be changed only by its owner and root", directory->path));
  } else {
    report.wrong(directory.error().message);
    directory = open_plugin_directory(parent, true);
    if (!directory) return subject;
    directory->insecure = false;  // its file is judged by itself
  }
  if (access(path.c_str(), F_OK) != 0 && errno == ENOENT) {
    std::string others;
    for (const std::string& other : directory->names) others += (others.empty() ? "" : ", ") + other;
    report.wrong(fmt::format("plugin file '{}' does not exist. (Directory '{}' holds: {}.)", path, directory->path,
                             others.empty() ? "no plugins" : others));
    return subject;
  }
  Result<PluginFile> file = open_plugin_file(*directory, name);
  if (file) {
    report.fine(fmt::format("'{}' is a regular file, {} bytes, that only its owner and root can write", name,
                            file->stamp.size));
  } else {
    report.wrong(file.error().message);
    directory->insecure = true;
    file = open_plugin_file(*directory, name);
    if (!file) return subject;
  }
  if (name.starts_with('.') || !name.ends_with(".so"))
    report.note(
        fmt::format("a plugin directory is searched for names that end in .so; '{}' would be passed over.", name));
  subject.file = std::move(*file);

  Result<PluginNote> note = read_plugin_note(subject.file.fd.get(), subject.file.stamp.size, subject.file.path);
  if (!note) {
    report.wrong(note.error().message);
    return subject;
  }
  report.fine("it is a shared object for this machine, with a plugin note");
  subject.note = std::move(*note);
  Result<Manifest> manifest = parse_manifest(*subject.note, subject.file.path);
  if (!manifest) {
    report.wrong(manifest.error().message);
    return subject;
  }
  subject.manifest = std::move(*manifest);
  report.fine(fmt::format("the note describes {}", subject.manifest->title()));
  const HostVersion host(services::hello());
  if (Status accepted = negotiate(*subject.manifest, host); !accepted)
    report.wrong(accepted.error().message);
  else
    report.fine(fmt::format("Nacre {} offers what it needs: SDK {}.{} and {} host features", host.version,
                            host.abi_major, host.abi_minor, subject.manifest->requires_extensions.size()));
  return subject;
}

// In the child: returns why it does not load, or nothing.
std::string try_to_load(Subject& subject) {
  Result<const nacre_plugin*> plugin = map_plugin(std::move(subject.file.fd), subject.file.stamp.size,
                                                  subject.file.path, *subject.manifest, &services::hello());
  const Status started = plugin ? initialise_plugin(**plugin) : Status(plugin.error());
  return started ? "" : started.error().message;
}

// Loads it where nothing is lost if it takes the process with it.
void load(Subject& subject, Report& report) {
  const std::string title = subject.manifest->title();
  Result<ChildEnd> end = run_in_child([&] { return try_to_load(subject); }, kLoadSeconds);
  if (!end) return report.wrong(fmt::format("it cannot be tried: {}", end.error().message));
  if (!end->in_time)
    return report.wrong(fmt::format(
        "{} does not come back from being loaded within {} s. Its constructors, entry point and init() must not wait.",
        title, kLoadSeconds));
  if (WIFSIGNALED(end->status))
    return report.wrong(
        fmt::format("{} ends the process that loads it, by signal {} ({}). This is a defect of the plugin.", title,
                    WTERMSIG(end->status), strsignal(WTERMSIG(end->status))));
  if (!end->finished)
    return report.wrong(
        fmt::format("{} ends the process that loads it, with status {}. This is a defect of the plugin.", title,
                    WEXITSTATUS(end->status)));
  if (!end->said.empty()) return report.wrong(end->said);
  report.fine("it loads, its entry point agrees with its note, and it starts");
}

// Another file that is in its way where plugins are installed.
void look_for_rivals(const Subject& subject, Report& report) {
  Registry installed(&services::hello(), {});
  if (!installed.start()) return;
  for (const PluginInfo& info : installed.query())
    if (info.id == subject.manifest->id && info.path != subject.file.path)
      report.note(
          fmt::format("{} has the plugin id '{}' too; a VMM that sees both uses neither, unless -plugin prefer= "
                      "says which.",
                      info.path, info.id));
  for (const DriverInfo& driver : installed.drivers())
    for (const ProvidedType& type : subject.manifest->provides)
      if (driver.kind == type.kind && type.answers_to(driver.name) && driver.plugin_id != subject.manifest->id)
        report.note(fmt::format("{} '{}' is offered by '{}' ({}) too; users must choose with plugin=.",
                                kind_name(driver.kind), driver.name, driver.plugin_id, driver.path));
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

void print(const char* name, const std::string& value) {
  if (!value.empty()) std::printf("%-13s %s\n", name, value.c_str());
}

std::string flag_words(uint32_t flags) {
  std::vector<std::string> words;
  if (flags & NACRE_NOTE_NEEDS_KVM_FD) words.emplace_back("needs the descriptor of KVM");
  if (flags & NACRE_NOTE_WANTS_THREAD) words.emplace_back("wants a thread of its own");
  if (flags & NACRE_NOTE_CAN_ISOLATE) words.emplace_back("can run in a process of its own");
  if (flags & NACRE_NOTE_HAS_STATE) words.emplace_back("saves its state");
  return joined(words);
}

void describe(const Subject& subject) {
  const Manifest& manifest = *subject.manifest;
  print("file", subject.file.path);
  print("id", manifest.id);
  print("version", manifest.version);
  print("name", manifest.name);
  print("vendor", manifest.vendor);
  print("license", manifest.license);
  print("homepage", manifest.homepage);
  print("support", manifest.support);
  print("SDK", fmt::format("{}.{}, host {}.{} or later", manifest.abi_major, manifest.abi_minor_built,
                           manifest.abi_major, manifest.abi_minor_needed));
  print("tier", manifest.tier == NACRE_TIER_LOCKED ? "locked: for one build of Nacre" : "stable");
  print("flags", flag_words(manifest.flags));
  for (const ProvidedType& type : manifest.provides)
    print("provides",
          fmt::format("{} {}{}{}", kind_name(type.kind), type.name, type.bus.empty() ? "" : ", bus " + type.bus,
                      type.aliases.empty() ? "" : ", also " + joined(type.aliases)));
  print("requires", joined(manifest.requires_extensions));
  print("optional", joined(manifest.optional_extensions));
  print("system calls", joined(manifest.system_calls));
  print("libraries", joined(needed_libraries(subject.file.fd.get(), subject.file.stamp.size)));
}

}  // namespace

int inspect_plugin(const std::string& path) {
  Report report(true);
  Subject subject = read_subject(path, report);
  if (subject.manifest) describe(subject);
  print("loadable", report.failed() ? "no" : "yes, by its note; 'nacre plugin doctor' tries it");
  return report.failed() ? 1 : 0;
}

int examine_plugin(const std::string& path) {
  Report report(false);
  Subject subject = read_subject(path, report);
  if (subject.manifest && !report.failed()) load(subject, report);
  if (subject.manifest) look_for_rivals(subject, report);
  std::printf("%s\n", report.failed() ? "This plugin does not load." : "This plugin loads.");
  return report.failed() ? 1 : 0;
}

}  // namespace nacre::cli
