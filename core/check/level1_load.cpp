// Level 1, load: what the host needs to hold before it can use a plugin at all.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "exports.hpp"
#include "test.hpp"

namespace nacre::check {
namespace {

constexpr int64_t kSlow = 100;  // milliseconds

// Of this thread's work: a machine that is busy with something else makes no plugin slow.
int64_t worked() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

// The least of a few tries, each in a process of its own: the first of all may have read the file from a slow disk.
int64_t work_to_start(Subject& subject) {
  constexpr int kTries = 3;
  int64_t least = kSlow + 1;
  for (int i = 0; i < kTries && least > kSlow; ++i) {
    int ends[2];
    check(::pipe(ends) == 0, "no pipe can be made.");
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        const int64_t begin = worked();
        subject.start();
        const int64_t took = worked() - begin;
        ::_exit(::write(ends[1], &took, sizeof took) == sizeof took ? 0 : 1);
      } catch (...) {
        ::_exit(1);  // what is wrong is told by the start in this test's own process
      }
    }
    ::close(ends[1]);
    int64_t took = 0;
    if (::read(ends[0], &took, sizeof took) == sizeof took) least = i == 0 ? took : std::min(least, took);
    ::close(ends[0]);
    ::waitpid(child, nullptr, 0);
  }
  return least;
}

void maps(Subject& subject, const Options&, const std::string&) {
  const int64_t took = work_to_start(subject);
  subject.start();
  check(took <= kSlow, fmt::format("mapping and init() are {} ms of work; the main thread of a VMM must not wait for "
                                   "more than {}.",
                                   took, kSlow));
}

void exports(Subject& subject, const Options&, const std::string&) {
  const Exports found = exports_of(subject.path());
  check(found.unique.empty(),
        fmt::format("it has unique symbols, which would be shared with other plugins: {}; compile "
                    "with -fno-gnu-unique, or link with the SDK's version script.",
                    fmt::join(found.unique, ", ")));
  check(found.defined == std::vector<std::string>{NACRE_ENTRY_SYMBOL},
        fmt::format("it exports {}, not {} alone: link it with the SDK's version script.",
                    found.defined.empty() ? std::string("nothing") : fmt::format("{}", fmt::join(found.defined, ", ")),
                    NACRE_ENTRY_SYMBOL));
}

void starts_again(Subject& subject, const Options&, const std::string&) {
  const nacre_plugin& plugin = subject.start();
  for (int i = 0; i < 3; ++i) {
    if (plugin.fini) plugin.fini();
    nacre_error slot;
    if (plugin.init) check_done(plugin.init(&slot), slot, "init() after fini() fails");
  }
  if (plugin.fini) plugin.fini();
}

void unknown_extensions(Subject& subject, const Options&, const std::string&) {
  const nacre_plugin& plugin = subject.map();
  if (!plugin.get_extension) return;
  check(!plugin.get_extension(nullptr), "get_extension(NULL) answers something.");
  check(!plugin.get_extension("org.example.none/1"), "get_extension() answers an id that does not exist.");
}

void provides(Subject& subject, const Options&, const std::string&) {
  const nacre_plugin& plugin = subject.map();
  const auto& noted = subject.manifest().provides;
  check(plugin.n_types == noted.size(),
        fmt::format("the entry shows {} types, the note {}.", plugin.n_types, noted.size()));
  for (uint32_t i = 0; i < plugin.n_types; ++i) {
    const nacre_type& type = *plugin.types[i];
    bool found = false;
    for (const ProvidedType& one : noted) found = found || (one.kind == type.kind && one.name == type.name);
    check(found, fmt::format("type '{}' is not in the note: PROVIDES of nacre_add_plugin() must name it.", type.name));
    check(type.help && *type.help, fmt::format("type '{}' has no help line.", type.name));
  }
}

}  // namespace

void add_load_tests(std::vector<Test>& tests) {
  tests.push_back({1, "maps", "it maps, its entry agrees with its note, and init() succeeds, within 100 ms", maps, {}});
  tests.push_back(
      {1, "exports", "it shows one symbol, its entry point, and none that others would share", exports, {}});
  tests.push_back({1, "starts_again", "init() may follow fini()", starts_again, {}});
  tests.push_back(
      {1, "unknown_extensions", "it answers NULL for services that it does not have", unknown_extensions, {}});
  tests.push_back({1, "provides", "its types are those of its note, and each has a help line", provides, {}});
}

}  // namespace nacre::check
