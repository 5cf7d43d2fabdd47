// plugin-check: holds a plugin against the contract before its users do.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "child.hpp"

namespace nacre::check {

std::vector<Test> tests_for(const Subject& subject) {
  std::vector<Test> tests;
  add_load_tests(tests);
  add_shape_tests(tests, subject);
  const auto& types = subject.manifest().provides;
  const auto is_back_end = [](const ProvidedType& type) {
    return type.kind == NACRE_KIND_BLOCK || type.kind == NACRE_KIND_NET || type.kind == NACRE_KIND_CHARDEV;
  };
  if (!std::all_of(types.begin(), types.end(), is_back_end)) {
    add_life_tests(tests);
    add_device_tests(tests);
    add_vcpu_tests(tests);
    add_stress_tests(tests);
  }
  if (std::any_of(types.begin(), types.end(), is_back_end)) add_back_end_tests(tests);
  std::stable_sort(tests.begin(), tests.end(), [](const Test& a, const Test& b) { return a.level < b.level; });
  return tests;
}

namespace {

constexpr const char* kUsage =
    "plugin-check [options] FILE.so\n"
    "Holds a Nacre plugin against the binary contract, each test in a process of its own.\n"
    "\n"
    "  --level N           run the tests of levels 1 to N (5): 1 load, 2 shape, 3 life, 4 device, 5 stress\n"
    "  --only NAME         run this test alone; repeatable\n"
    "  --set NAME=VALUE    make devices with this property; repeatable\n"
    "  --seed N            of the random tests; one is drawn where none is given, and told\n"
    "  --reproduce SEED    the same: repeat a run by the seed that it told\n"
    "  --fuzz SECONDS      how long the fuzz test runs for each device (2)\n"
    "  --deadline SECONDS  of each test (30)\n"
    "  --in-process        run the tests in this process, for a debugger; best with --only\n"
    "  --json              one JSON object instead of lines\n"
    "  --list              name the tests and what each means\n"
    "\n"
    "Exit status: 0 all passed, 1 one failed, 2 none failed but one could not be run here, or the command is wrong.\n";

struct Command {
  std::string file;
  unsigned level = 5;
  std::vector<std::string> only;
  Settings settings;
  Options options;
  unsigned deadline = 30;
  bool in_process = false, json = false, list = false;
};

[[noreturn]] void refuse(const std::string& sentence) {
  std::fprintf(stderr, "plugin-check: %s\n", sentence.c_str());
  std::exit(2);
}

uint64_t number(const std::string& option, const std::string& text, uint64_t most) {
  char* end = nullptr;
  errno = 0;
  const uint64_t value = std::strtoull(text.c_str(), &end, 0);
  if (text.empty() || *end || errno || value > most || text[0] == '-')
    refuse(fmt::format("{} takes a number up to {}, not '{}'.", option, most, text));
  return value;
}

Command parse(int argc, char** argv) {
  Command command;
  command.options.seed = std::random_device()() | uint64_t{std::random_device()()} << 32;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    auto value = [&]() -> std::string {
      if (i + 1 == argc) refuse(fmt::format("{} needs a value.", word));
      return argv[++i];
    };
    if (word == "--help" || word == "-h") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    } else if (word == "--level") {
      command.level = static_cast<unsigned>(number(word, value(), 5));
    } else if (word == "--only") {
      command.only.push_back(value());
    } else if (word == "--set") {
      const std::string setting = value();
      const size_t equals = setting.find('=');
      if (equals == std::string::npos) refuse(fmt::format("--set takes NAME=VALUE, not '{}'.", setting));
      command.settings.emplace_back(setting.substr(0, equals), setting.substr(equals + 1));
    } else if (word == "--seed" || word == "--reproduce") {
      command.options.seed = number(word, value(), UINT64_MAX);
    } else if (word == "--fuzz") {
      command.options.fuzz_seconds = static_cast<unsigned>(number(word, value(), 86400));
    } else if (word == "--deadline") {
      command.deadline = static_cast<unsigned>(number(word, value(), 86400));
    } else if (word == "--in-process") {
      command.in_process = true;
    } else if (word == "--json") {
      command.json = true;
    } else if (word == "--list") {
      command.list = true;
    } else if (word.starts_with("-")) {
      refuse(fmt::format("there is no option {}; --help names them.", word));
    } else if (!command.file.empty()) {
      refuse(fmt::format("one file at a time: '{}' or '{}'?", command.file, word));
    } else {
      command.file = word;
    }
  }
  if (command.file.empty()) refuse("which file? plugin-check FILE.so; --help tells more.");
  return command;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out +=
        static_cast<unsigned char>(c) < 0x20 ? fmt::format("\\u{:04x}", static_cast<unsigned>(c)) : std::string(1, c);
  }
  return out + '"';
}

const char* word_of(Outcome::Kind kind) {
  return kind == Outcome::Kind::Passed ? "passed" : kind == Outcome::Kind::Failed ? "failed" : "cannot";
}

class Report {
 public:
  explicit Report(bool json) : json_(json) {}
  void add(const Test& test, const Outcome& outcome) {
    ++counts_[static_cast<int>(outcome.kind)];
    if (json_) {
      results_ += fmt::format("{}{{\"level\":{},\"test\":{},\"result\":\"{}\",\"reason\":{},\"milliseconds\":{}}}",
                              results_.empty() ? "" : ",", test.level, quoted(test.name), word_of(outcome.kind),
                              quoted(outcome.sentence), outcome.milliseconds);
      return;
    }
    fmt::print("{:6}  {} {} ({} ms){}{}\n", word_of(outcome.kind), test.level, test.name, outcome.milliseconds,
               outcome.sentence.empty() ? "" : ": ", outcome.sentence);
    std::fflush(stdout);
  }
  int end(const std::string& file, const std::string& title, const Options& options) {
    if (json_) {
      fmt::print("{{\"file\":{},\"plugin\":{},\"seed\":{},\"passed\":{},\"failed\":{},\"cannot\":{},\"tests\":[{}]}}\n",
                 quoted(file), quoted(title), options.seed, counts_[0], counts_[1], counts_[2], results_);
    } else {
      fmt::print("{}: {} passed, {} failed, {} could not be run here (seed {})\n", title, counts_[0], counts_[1],
                 counts_[2], options.seed);
    }
    return counts_[1] ? 1 : counts_[2] ? 2 : 0;
  }

 private:
  bool json_;
  std::string results_;
  unsigned counts_[3] = {};
};

int run(const Command& command) {
  Report report(command.json);
  std::string title = command.file;
  const Test note{1, "note", "it is a shared object with a note that holds", nullptr, {}};
  try {
    Subject subject(command.file, command.settings);
    title = subject.manifest().title();
    std::vector<Test> tests = tests_for(subject);
    for (const std::string& name : command.only)
      if (std::none_of(tests.begin(), tests.end(), [&](const Test& test) { return test.name == name; }))
        refuse(fmt::format("there is no test '{}' for this plugin; --list names them.", name));
    if (command.list) {
      for (const Test& test : tests) fmt::print("{} {:24} {}\n", test.level, test.name, test.what);
      return 0;
    }
    report.add(note, {Outcome::Kind::Passed, {}, 0});
    for (const Test& test : tests) {
      const bool wanted = command.only.empty()
                              ? test.level <= command.level
                              : std::find(command.only.begin(), command.only.end(), test.name) != command.only.end();
      if (!wanted) continue;
      report.add(test, command.in_process ? run_here(test, subject, command.options)
                                          : run_in_child(test, subject, command.options,
                                                         command.deadline + command.options.fuzz_seconds));
    }
  } catch (const Failed& failed) {
    report.add(note, {Outcome::Kind::Failed, failed.sentence, 0});
  } catch (const Cannot& cannot) {
    report.add(note, {Outcome::Kind::Cannot, cannot.sentence, 0});
  }
  return report.end(command.file, title, command.options);
}

}  // namespace
}  // namespace nacre::check

// Built with a sanitizer, a crash ends the process as it does without one: by its signal, which the parent tells.
// NOLINTBEGIN(bugprone-reserved-identifier): the names are the sanitizers'
extern "C" const char* __asan_default_options() {
  return "handle_segv=0:handle_sigbus=0:handle_abort=0:detect_leaks=0";
}
extern "C" const char* __tsan_default_options() {
  return "handle_segv=0:handle_sigbus=0:handle_abort=0";
}
// NOLINTEND(bugprone-reserved-identifier)

int main(int argc, char** argv) {
  return nacre::check::run(nacre::check::parse(argc, argv));
}
