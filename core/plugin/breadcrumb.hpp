// Which plugin a thread is in, so that the last line of a process that dies there names the culprit.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>

namespace nacre {

namespace crash {

// With which a process ends that made a system call which its sandbox refuses: what a shell shows where the kernel
// itself ends it for that.
constexpr int kRefusedStatus = 128 + 31;

// What the current thread is doing in a plugin; all NULL when it is in none. Strings end with NUL and are borrowed.
struct Place {
  const char* plugin = nullptr;
  const char* instance = nullptr;
  const char* function = nullptr;
};

extern constinit thread_local Place place;

// Installs what runs when the process dies: a terminate handler, and handlers of SIGSEGV, SIGBUS, SIGILL and SIGFPE on
// a stack of their own. Each writes one line to standard error, and to the log where that goes elsewhere, and then lets
// the earlier handler, or the default one with its core dump, have the signal. SIGSYS ends the process with
// kRefusedStatus after its line where the sandbox (core/sandbox) refuses a call, and is ignored where a process sent it.
// `before_death`, or NULL, runs after the line, in the handler: it gives back what outlives the process (the terminal).
// Call once, on the main thread.
void install_handlers(void (*before_death)() = nullptr);

// Gives the calling thread a stack for those handlers, so that they can report a stack overflow too. Returns false when
// there is no memory; the handlers then use the thread's own stack. The stack lives as long as the thread.
bool prepare_thread();

// The image of a plugin in this process.
struct Module {
  const char* file;  // its name; must live as long as the process
  uintptr_t start;
  uintptr_t end;
  int fd;             // what it was mapped from, open as long as the process lives
  int64_t size;       // of that file then, in bytes
  timespec modified;  // when its content had been changed last
};

// [main] Makes the image known, so that a crash in it is given as an offset, and that it is said when its file was
// changed under it. At most 256 are kept, the rest is ignored.
void add_module(const Module& module);

}  // namespace crash

// Set around every call into a plugin: two stores of three words. The strings must outlive it.
class Breadcrumb {
 public:
  Breadcrumb(const std::string& plugin, const std::string& instance, const char* function)
      : Breadcrumb(plugin.c_str(), instance.c_str(), function) {}
  Breadcrumb(const char* plugin, const char* instance, const char* function) : before_(crash::place) {
    crash::place = {plugin, instance, function};
  }
  ~Breadcrumb() { crash::place = before_; }
  Breadcrumb(const Breadcrumb&) = delete;
  Breadcrumb& operator=(const Breadcrumb&) = delete;

 private:
  crash::Place before_;
};

// The sentence for a plugin's call that ended with NACRE_PLUGIN_EXCEPTION; `what` may be empty, `outcome` says what
// becomes of the device.
std::string exception_text(const std::string& plugin, const char* function, const std::string& what,
                           const std::string& device, const char* outcome = "was removed");

}  // namespace nacre
