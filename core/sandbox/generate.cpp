// Makes the filters of system_calls.txt at build time, by libseccomp: the program itself neither links that library nor
// spends time in it.
//
//   generate SYSTEM_CALLS sanitizer|plain >filters.inc
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "core/sandbox/programs.hpp"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

namespace {

using nacre::sandbox::kSelf;
using Text = std::string;

struct Constant {
  const char* name;
  uint64_t value;
};
#define OF(name) \
  { #name, static_cast < uint64_t>(name) }
const Constant kConstants[] = {
    OF(PROT_EXEC),
    OF(CLONE_THREAD),
    OF(PR_SET_NAME),
    OF(PR_SET_VMA),
    OF(AT_EMPTY_PATH),
    OF(AF_UNIX),
    OF(AF_INET),
    OF(AF_INET6),
    OF(AF_NETLINK),
    OF(AF_VSOCK),
    OF(ENOSYS),
    OF(EPERM),
    // What a guest's vCPU threads ask of KVM
    OF(KVM_RUN),
    OF(KVM_IRQ_LINE),
    OF(KVM_SIGNAL_MSI),
    OF(KVM_IRQFD),
    OF(KVM_IOEVENTFD),
    // Linux 6.0 to 6.5 have its structure too large in C++, and with it this number: see core/kvm/flexible.hpp
    {"KVM_SET_GSI_ROUTING", _IOW(KVMIO, 0x6a, uint64_t)},
    OF(KVM_SET_USER_MEMORY_REGION),
    OF(KVM_GET_REGS),
    OF(KVM_GET_SREGS),
    OF(KVM_TRANSLATE),
    OF(KVM_GET_ONE_REG),
    OF(SIOCGIFINDEX),
    OF(TUNGETFEATURES),
    OF(TUNSETIFF),
    OF(TUNGETIFF),
    OF(TUNSETOFFLOAD),
    OF(TUNSETQUEUE),
    OF(TUNSETVNETHDRSZ),
    OF(TCGETS),
    OF(TCSETS),
    OF(TCSETSW),
    OF(TCSETSF),
    OF(TIOCGWINSZ),
    OF(TIOCGPTN),
    OF(TIOCSPTLCK),
    OF(TIOCGPTPEER),
    OF(TIOCGPGRP),
    OF(FIONBIO),
    OF(FIONREAD),
    // The byte of a request that says whose it is, see Linux Documentation/userspace-api/ioctl/ioctl-number.rst
    {"IOCTL_TYPE", 0xff00},
    {"IOCTL_KVM", 0xae00},
    {"IOCTL_VHOST", 0xaf00},
    {"IOCTL_VFIO", 0x3b00},
    {"IOCTL_BLOCK", 0x1200},
    {"SELF", kSelf},
};
#undef OF

struct Row {
  Text call;
  std::vector<Text> threads;
  uint32_t action = SCMP_ACT_ALLOW;
  std::vector<scmp_arg_cmp> limits;
};

struct Kind {
  const char* name;
  const char* constant;
  const char* also;  // a kind of which it has all rows
  bool runs_guest;   // KVM_RUN passes through its filter, and shall do so first
};
constexpr Kind kKinds[] = {{"main", "kMain", "", true},
                           {"code", "kMainWithCode", "main", true},
                           {"iothread", "kIoThread", "", false},
                           {"vcpu", "kVcpu", "", true},
                           {"worker", "kWorker", "", false}};

struct Architecture {
  uint32_t token;
  const char* macro;
};
constexpr Architecture kArchitectures[] = {{SCMP_ARCH_X86_64, "__x86_64__"}, {SCMP_ARCH_AARCH64, "__aarch64__"}};

size_t g_line = 0;

[[noreturn]] void complain(const Text& sentence) {
  std::fprintf(stderr, "system_calls.txt:%zu: %s\n", g_line, sentence.c_str());
  std::exit(1);
}

Text trimmed(const Text& text) {
  const size_t from = text.find_first_not_of(" \t"), to = text.find_last_not_of(" \t");
  return from == Text::npos ? "" : text.substr(from, to - from + 1);
}

std::vector<Text> split(const Text& text, char separator) {
  std::vector<Text> parts;
  std::istringstream stream(text);
  for (Text part; std::getline(stream, part, separator);) parts.push_back(trimmed(part));
  return parts;
}

uint64_t constant(const Text& name) {
  for (const Constant& known : kConstants)
    if (name == known.name) return known.value;
  char* end = nullptr;
  const uint64_t number = std::strtoull(name.c_str(), &end, 0);
  if (name.empty() || *end) complain("'" + name + "' is no number and not in the table of generate.cpp");
  return number;
}

scmp_arg_cmp condition(const std::vector<Text>& words) {
  const bool masked = words.size() == 5 && words[1] == "&" && words[3] == "==";
  if (!masked && !(words.size() == 3 && words[1] == "=="))
    complain("a limit is 'argN == VALUE' or 'argN & MASK == VALUE'");
  const Text& argument = words[0];
  if (argument.size() != 4 || argument.compare(0, 3, "arg") != 0 || argument[3] < '0' || argument[3] > '5')
    complain("'" + argument + "' is not one of arg0 to arg5");
  scmp_arg_cmp made{};
  made.arg = static_cast<unsigned>(argument[3] - '0');
  made.op = masked ? SCMP_CMP_MASKED_EQ : SCMP_CMP_EQ;
  made.datum_a = constant(words[2]);
  if (masked) made.datum_b = constant(words[4]);
  return made;
}

void read_limits(const Text& text, Row& row) {
  std::istringstream stream(text);
  std::vector<Text> words;
  for (Text word; stream >> word;) words.push_back(word);
  if (words.size() == 2 && words[0] == "refuse") {
    row.action = SCMP_ACT_ERRNO(constant(words[1]));
    return;
  }
  for (auto at = words.begin(); at != words.end();) {
    const auto end = std::find(at, words.end(), "and");
    row.limits.push_back(condition({at, end}));
    at = end == words.end() ? end : end + 1;
  }
}

std::vector<Row> read_rows(const char* path, bool sanitizer) {
  std::ifstream file(path);
  if (!file) complain(Text("cannot read ") + path);
  std::vector<Row> rows;
  for (Text line; ++g_line, std::getline(file, line);) {
    if (trimmed(line).empty() || line[0] == '#') continue;
    const std::vector<Text> columns = split(line, '|');
    if (columns.size() != 4 || columns[3].empty()) complain("a row has four columns, and the last says why");
    Row row;
    row.call = columns[0];
    if (seccomp_syscall_resolve_name(row.call.c_str()) == __NR_SCMP_ERROR)
      complain("there is no system call '" + row.call + "'");
    bool mine = true;
    for (const Text& word : split(columns[1], ' ')) {
      const bool kind = std::any_of(std::begin(kKinds), std::end(kKinds), [&](auto& k) { return word == k.name; });
      if (word == "(sanitizers)")
        mine = sanitizer;
      else if (kind || word == "all")
        row.threads.push_back(word);
      else if (!word.empty())
        complain("'" + word + "' is no kind of thread");
    }
    if (row.threads.empty()) complain("no kind of thread is named");
    read_limits(columns[2], row);
    if (mine) rows.push_back(row);
  }
  return rows;
}

bool is_for(const Row& row, const Kind& kind) {
  return std::any_of(row.threads.begin(), row.threads.end(),
                     [&](const Text& word) { return word == "all" || word == kind.name || word == kind.also; });
}

bool exists(const Row& row, uint32_t architecture) {
  return seccomp_syscall_resolve_name_arch(architecture, row.call.c_str()) >= 0;
}

void must(int code, const char* what) {
  if (code == 0) return;
  std::fprintf(stderr, "generate: %s: %s\n", what, std::strerror(-code));
  std::exit(1);
}

// What runs millions of times is looked for first: no cache of the kernel's answers for it, whose answer hangs on an
// argument. Beyond its end follows what libseccomp makes.
void put_run_first(std::vector<sock_filter>& program, uint32_t architecture) {
  const int number = seccomp_syscall_resolve_name_arch(architecture, "ioctl");
  const std::vector<sock_filter> first = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, architecture, 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),  // the lower half; the kernel takes no more
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KVM_RUN, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  program.insert(program.begin(), first.begin(), first.end());
}

std::vector<sock_filter> make(const std::vector<Row>& rows, const Kind& kind, uint32_t architecture) {
  scmp_filter_ctx context = seccomp_init(SCMP_ACT_TRAP);
  if (!context) must(-ENOMEM, "seccomp_init");
  if (architecture != seccomp_arch_native()) {
    must(seccomp_arch_add(context, architecture), "seccomp_arch_add");
    must(seccomp_arch_remove(context, SCMP_ARCH_NATIVE), "seccomp_arch_remove");
  }
  must(seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "SCMP_FLTATR_ACT_BADARCH");
  must(seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2), "SCMP_FLTATR_CTL_OPTIMIZE");
  for (const Row& row : rows) {
    if (!is_for(row, kind) || !exists(row, architecture)) continue;
    const int code = seccomp_rule_add_array(context, row.action, seccomp_syscall_resolve_name(row.call.c_str()),
                                            static_cast<unsigned>(row.limits.size()), row.limits.data());
    // A call that is allowed in every case already needs no other row.
    if (code != -EEXIST) must(code, row.call.c_str());
  }
  const int fd = memfd_create("filter", 0);
  must(seccomp_export_bpf(context, fd), "seccomp_export_bpf");
  seccomp_release(context);
  std::vector<sock_filter> program(static_cast<size_t>(lseek(fd, 0, SEEK_END)) / sizeof(sock_filter));
  const size_t length = program.size() * sizeof(sock_filter);
  if (pread(fd, program.data(), length, 0) != static_cast<ssize_t>(length)) must(-EIO, "reading the filter");
  close(fd);
  if (kind.runs_guest) put_run_first(program, architecture);
  return program;
}

void print(const char* name, const std::vector<sock_filter>& program) {
  std::printf("constexpr sock_filter %s[] = {\n", name);
  for (const sock_filter& step : program) std::printf("    {%#x, %u, %u, %#x},\n", step.code, step.jt, step.jf, step.k);
  std::printf("};\n");
}

// One text with the name of each number in turn, empty where there is none: a table of pointers would be written to
// when the program starts.
void print_names(uint32_t architecture) {
  std::printf("constexpr char kNames[] =\n");
  for (int number = 0; number < 512; ++number) {
    char* name = seccomp_syscall_resolve_num_arch(architecture, number);
    std::printf("    \"%s\\0\"\n", name ? name : "");
    free(name);
  }
  std::printf("    ;\n");
}

// The calls that every kind of thread may make, whatever their arguments.
void print_everywhere(const std::vector<Row>& rows, uint32_t architecture) {
  std::printf("constexpr uint32_t kEverywhere[] = {");
  std::map<Text, size_t> kinds;
  for (const Row& row : rows)
    if (row.action == SCMP_ACT_ALLOW && row.limits.empty())
      for (const Kind& kind : kKinds) kinds[row.call] += is_for(row, kind) ? 1 : 0;
  for (const auto& [call, count] : kinds)
    if (const int number = seccomp_syscall_resolve_name_arch(architecture, call.c_str());
        count >= std::size(kKinds) && number >= 0)
      std::printf("%d, ", number);
  std::printf("};\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::vector<Row> rows = read_rows(argv[1], std::strcmp(argv[2], "sanitizer") == 0);
  std::printf("// Made of system_calls.txt by generate.cpp.\n");
  for (const Architecture& architecture : kArchitectures) {
    std::printf("#if defined(%s)\n", architecture.macro);
    for (const Kind& kind : kKinds) print(kind.constant, make(rows, kind, architecture.token));
    print_names(architecture.token);
    print_everywhere(rows, architecture.token);
    std::printf("#endif\n");
  }
  return 0;
}
