#include "tests/fuzz/machine_under_test.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "core/loop/clock.hpp"
#include "tests/qtest/fake_vhost.h"

// The fake of /dev/vhost-vsock walks when the main loop has its turn.
extern "C" void fake_vhost_runs(int, int, int) {}

namespace nacre::fuzz {
namespace {

constexpr uint64_t kTimeOfDay = 1'700'000'000'000'000'000;
constexpr size_t kDiskBytes = 64 << 10;
constexpr size_t kFlashBytes = 32 << 10;
constexpr int kMostRuns = 200;  // of one machine

const char* from_environment(const char* name) {
  const char* value = std::getenv(name);
  require(value, "the environment names the machine: run the script of that name beside this program", name);
  return value;
}

struct File {
  const char* name;
  size_t bytes;
};
constexpr File kFiles[] = {
    {"disk", kDiskBytes}, {"second", kDiskBytes}, {"third", kDiskBytes}, {"code", kFlashBytes}, {"vars", kFlashBytes}};

std::string scratch;

// What the guest has written is gone again; the files stay the same ones, since that is quicker.
void fill_files() {
  static const std::string content(kDiskBytes, 'n');
  for (const File& file : kFiles) {
    const Fd fd(::open(file.name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const bool written = fd && ::pwrite(fd.get(), content.data(), file.bytes, 0) == static_cast<ssize_t>(file.bytes) &&
                         ::ftruncate(fd.get(), static_cast<off_t>(file.bytes)) == 0;
    require(written, "the files of a run can be written", file.name);
  }
}

std::vector<std::string> words_of(const std::string& type) {
  const std::string plugins = from_environment("NACRE_FUZZ_PLUGINS"), own = from_environment("NACRE_FUZZ_BACK_ENDS");
  std::vector<std::string> words = {"-plugin-dir", plugins, "-plugin", "file=" + own + "/fuzz-station.so", "-plugin",
                                    "file=" + own + "/fuzz-echo.so",
                                    // The least that a machine may have.
                                    "-m", "128M", "-machine", type, "-accel", "qtest", "-disable-seccomp", "-qmp",
                                    "unix:qmp,server,nowait", "-smp", type == "q35" ? "1,maxcpus=4" : "1"};
  const auto add = [&words](std::initializer_list<std::string> more) { words.insert(words.end(), more); };
  add({"-drive",   "id=d0,file=disk,direct=off,aio=off,discard=unmap",
       "-drive",   "id=d1,file=second,direct=off,aio=off,readonly=on",
       "-drive",   "id=d2,file=third,direct=off,aio=off",
       "-object",  "iothread,id=io0",
       "-netdev",  "fuzz-station,id=n0",
       "-object",  "rng-random,id=r0,filename=/dev/zero",
       "-chardev", "fuzz-echo,id=c0,size=256",
       "-chardev", "fuzz-echo,id=c1,size=256",
       "-chardev", "fuzz-echo,id=c2,size=256",
       "-serial",  "chardev:c0"});
  const bool pci = type == "q35";
  int slot = 2;
  const auto device = [&](const std::string& driver, const std::string& rest, const std::string& bus = {}) {
    std::string word = driver + (pci ? "-pci" : "-device") + rest;
    if (pci) word += bus.empty() ? ",bus=pcie.0,addr=" + std::to_string(slot++) : ",bus=" + bus + ",addr=0";
    add({"-device", word});
  };
  if (pci) {
    add({"-drive", "if=pflash,unit=0,id=f0,file=code,readonly=on", "-drive", "if=pflash,unit=1,id=f1,file=vars"});
    for (const char* port : {"1", "2", "3"})
      add({"-device", std::string("pcie-root-port,id=pcie.") + port + ",port=" + port + ",bus=pcie.0,addr=1" + port});
  }
  device("virtio-blk", ",drive=d0,id=disk,serial=fuzz,num-queues=4");
  device("virtio-blk", ",drive=d1,id=second", "pcie.1");
  device("virtio-net", ",netdev=n0,id=net,mac=52:54:00:12:34:56", "pcie.2");
  device("virtio-rng", ",rng=r0,id=random,max-bytes=4096,period=1000");
  device("virtio-balloon", ",id=balloon,deflate-on-oom=on,free-page-reporting=on,statistics=on,auto-balloon=on");
  device("virtio-serial", ",id=vs");
  device("virtio-blk", ",drive=d2,id=third,iothread=io0");
  device("vhost-vsock", ",id=vsock,guest-cid=5");
  add({"-device", "virtconsole,chardev=c1,id=console", "-device", "virtserialport,chardev=c2,id=port"});
  return words;
}

const cli::Options& options() {
  static const cli::Options& made = *[] {
    static const std::vector<std::string> words = words_of(from_environment("NACRE_FUZZ_MACHINE"));
    std::vector<const char*> pointers;
    for (const std::string& word : words) pointers.push_back(word.c_str());
    Result<cli::Options> parsed = cli::parse({const_cast<char**>(pointers.data()), pointers.size()});
    require(bool(parsed), "the machine's command line is right", parsed ? "" : parsed.error().message);
    auto* fresh = new cli::Options(std::move(*parsed));
    fresh->qmp.clear();  // clients come without a socket
    return fresh;
  }();
  return made;
}

int lowest_free_fd() {
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::close(fd);
  return fd;
}

}  // namespace

void prepare_machines() {
  std::string folder = std::filesystem::temp_directory_path() / "nacre-fuzz-XXXXXX";
  require(::mkdtemp(folder.data()) && ::chdir(folder.c_str()) == 0, "there is a folder for the run's files", folder);
  scratch = folder;
  std::atexit([] {
    std::error_code ignored;
    std::filesystem::remove_all(scratch, ignored);
  });
  // Nothing that a command opens is of the host's network, and no program is started.
  ::setenv("PATH", "/nonexistent", 1);
  (void)::unshare(CLONE_NEWNET);
  ::signal(SIGPIPE, SIG_IGN);
  begin_virtual_time(kTimeOfDay);
  // What is made once and kept is made now.
  MachineUnderTest machine;
}

MachineUnderTest::MachineUnderTest() {
  fill_files();
  lowest_free_fd_ = lowest_free_fd();
  auto made = cli::Assembly::make(options());
  require(bool(made), "the machine can be made", made ? "" : made.error().message);
  assembly_ = std::move(*made);
  // Who runs a fuzz target may end it.
  sigset_t signals;
  sigemptyset(&signals);
  for (int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  inventory_ = inventory();
  guest_ = std::make_unique<qtest::Access>(*vm().platform().test_vm(), space(NACRE_SPACE_MMIO), space(NACRE_SPACE_PIO),
                                           qtest::Access::Nobody::Ones);
  vm().life_cycle().start(false);
  serve();
}

MachineUnderTest::~MachineUnderTest() {
  guest_.reset();
  assembly_.reset();
  require(lowest_free_fd() == lowest_free_fd_, "a machine that is gone has left no descriptor open");
}

MachineUnderTest& MachineUnderTest::take(bool fresh) {
  // Never destroyed: that would be behind the back of what the host's tables stand on.
  static auto& machine = *new std::unique_ptr<MachineUnderTest>;
  if (machine && (fresh || !machine->reset())) machine.reset();
  if (!machine) machine = std::make_unique<MachineUnderTest>();
  return *machine;
}

std::string MachineUnderTest::inventory() {
  std::string ids;
  for (const auto& device : vm().devices().all()) ids += device->id + ' ' + device->type->name + ' ';
  return ids;
}

bool MachineUnderTest::reset() {
  if (ended() || !vm().life_cycle().running() || inventory() != inventory_ || ++runs_ == kMostRuns) return false;
  fill_files();
  for (const MemoryRegion& region : vm().platform().memory().regions())
    require(::madvise(region.hva, region.length, MADV_DONTNEED) == 0, "memory can be emptied");
  const Status done = vm().platform().reset();
  require(bool(done), "the machine can be reset", done ? "" : done.error().message);
  vm().devices().reset();
  serve();
  return !ended();
}

void MachineUnderTest::serve() {
  if (ended()) return;
  EventLoop& loop = vm().loop();
  fake_vhost_walk();
  // Serves what is ready, then the posts, then this; what a post makes ready has its turn in the second round.
  for (int round = 0; round < 2 && !ended(); ++round) {
    loop.post_alone([&loop] { loop.stop(); });
    loop.run();
  }
}

void MachineUnderTest::pass(uint64_t ns) {
  EventLoop& loop = vm().loop();
  const uint64_t end = monotonic_ns() + ns;
  for (uint64_t next = loop.next_deadline(); next <= end && !ended(); next = loop.next_deadline()) {
    move_virtual_time(next);
    loop.expire_due();
  }
  move_virtual_time(end);
}

}  // namespace nacre::fuzz
