// What can only be judged when all options are known.
#include <algorithm>

#include "core/base/suggest.hpp"
#include "core/cli/option_table.hpp"

namespace nacre::cli {
namespace {

const Chardev* find_chardev(const Options& options, const std::string& id) {
  for (const Chardev& chardev : options.chardevs)
    if (chardev.id == id) return &chardev;
  return nullptr;
}

Error no_chardev(const Options& options, const char* option, const std::string& id) {
  std::vector<std::string> ids;
  for (const Chardev& chardev : options.chardevs) ids.push_back(chardev.id);
  return fail("{}: Chardev \"{}\" not found or is in use; give it with '-chardev KIND,id={}'.{}", option, id, id,
              did_you_mean(id, ids));
}

Error not_listening(const std::string& id) {
  return fail("Argument 'server' and 'nowait' are both required for chardev '{}'; add ',server,nowait' to it.", id);
}

bool listens(const Chardev& chardev) {
  return chardev.server && chardev.nowait;
}

Status resolve_serial(Draft& draft) {
  if (draft.serial_chardev.empty()) return {};
  const Chardev* chardev = find_chardev(draft.options, draft.serial_chardev);
  if (!chardev) return no_chardev(draft.options, "-serial", draft.serial_chardev);
  if (chardev->kind == Chardev::Kind::Socket && !listens(*chardev)) return not_listening(chardev->id);
  draft.options.serial = chardev->id;
  return {};
}

Status resolve_mon(Draft& draft) {
  if (!draft.has_mon) return {};
  const Chardev* chardev = find_chardev(draft.options, draft.mon_chardev);
  if (!chardev || chardev->id == draft.options.serial) return no_chardev(draft.options, "-mon", draft.mon_chardev);
  if (chardev->kind != Chardev::Kind::Socket)
    return fail("-mon: chardev '{}' is no socket; give it with '-chardev socket,id={},path=PATH,server,nowait'.",
                chardev->id, chardev->id);
  if (!listens(*chardev)) return not_listening(chardev->id);
  draft.options.qmp.push_back({draft.mon_id, chardev->path, chardev->host, chardev->port, ""});
  return {};
}

Status resolve_accelerator(Draft& draft) {
  const std::string& accel = draft.accel.empty() ? draft.machine_accel : draft.accel;
  const TestSocket& test = draft.options.test;
  draft.options.no_vcpus = accel == "qtest" || accel == "test" || (accel.empty() && !test.path.empty());
  if (test.path.empty()) return {};
  const char* option = test.stratovirt ? "-mod-test" : "-qtest";
  // StratoVirt's tests name no accelerator: -mod-test alone stands for -accel test.
  if (test.stratovirt && !accel.empty() && accel != "test")
    return fail("-mod-test goes with -accel test, by which the machine has no vCPUs, and not with {}; leave that out.",
                accel);
  if (!draft.options.no_vcpus)
    return fail("{} drives a machine without vCPUs, and accel={} asks for them; leave one of both out.", option, accel);
  if (draft.options.machine.type == "none") return fail("{} drives a machine, and -machine none builds none.", option);
  return {};
}

Status check_management(const Options& options) {
  if (options.qmp.empty() && !options.test.path.empty()) return {};
  if (options.qmp.empty())
    return fail(
        "Please use '-qmp' or '-mon' to give a qmp path for Unix socket, such as '-qmp unix:PATH,server,nowait'.");
  for (const QmpListener& listener : options.qmp)
    if (!listener.iothread.empty() &&
        std::find(options.iothreads.begin(), options.iothreads.end(), listener.iothread) == options.iothreads.end())
      return fail("-qmp: there is no iothread '{}'; give it with '-object iothread,id={}'.{}", listener.iothread,
                  listener.iothread, did_you_mean(listener.iothread, options.iothreads));
  return {};
}

Status check_stdio(const Options& options) {
  const Chardev* user = nullptr;
  for (const Chardev& chardev : options.chardevs) {
    if (chardev.kind != Chardev::Kind::Stdio) continue;
    if (user)
      return fail(
          "standard input and output can serve one chardev only, not both '{}' and '{}'; use pty or socket "
          "for one.",
          user->id, chardev.id);
    user = &chardev;
  }
  if (user && options.daemonize)
    return fail("-daemonize takes standard input and output away from chardev '{}'; use pty, socket or file.",
                user->id);
  return {};
}

Status check_shared_files(const Options& options) {
  std::vector<std::string> paths;
  for (size_t i = 0; i < options.drives.size(); ++i) {
    paths.emplace_back();
    if (!options.drives[i].driver.empty()) continue;  // a plugin's
    Result<std::string> path = absolute_path(options.drives[i].file);
    if (!path) return path.error();
    for (size_t j = 0; j < i; ++j)
      if (paths[j] == *path && !(options.drives[i].readonly && options.drives[j].readonly))
        return fail(
            "Failed to add drive {}, file can only be shared with read_only. Is it used more than once or another "
            "process using the same file? Drives '{}' and '{}' name it: write readonly=on for both.",
            options.drives[i].file, options.drives[j].id, options.drives[i].id);
    paths.back() = std::move(*path);
  }
  return {};
}

Status check_flash(const Options& options) {
  const bool firmware = !options.flash[0].empty(), variables = !options.flash[1].empty();
  if (options.machine.type == "microvm" && (firmware || variables))
    return fail("-drive if=pflash: the machine microvm boots without firmware; use -machine q35, or leave it out.");
  if (variables && !firmware)
    return fail(
        "-drive if=pflash: unit 1 keeps the variables of the firmware in unit 0, which is missing; add "
        "'-drive if=pflash,unit=0,readonly=on,file=FIRMWARE'.");
  return {};
}

Status check_boot(const Options& options) {
  if (options.machine.type == "none") return {};
  if (options.no_vcpus && options.kernel.empty() && options.initrd.empty()) return {};
  if (options.machine.type == "microvm" && options.kernel.empty())
    return fail("kernel file is required for microvm machine type, which is not provided; add '-kernel FILE'.");
  if (!options.initrd.empty() && options.kernel.empty())
    return fail("-initrd goes with -kernel; add '-kernel FILE' or leave -initrd out.");
  const bool vhost_user = std::any_of(options.chardevs.begin(), options.chardevs.end(), [](const Chardev& chardev) {
    return chardev.kind == Chardev::Kind::Socket && !chardev.server;
  });
  if (options.initrd.empty() && options.drives.empty() && !vhost_user)
    return fail(
        "Before Vm start, set a initrd or drive_file or vhost-user blk as rootfs: add '-initrd FILE', or "
        "'-drive' and a '-device' for it.");
  return {};
}

}  // namespace

Result<Options> finish(Draft draft) {
  if (draft.options.help) return std::move(draft.options);
  if (Status status = resolve_serial(draft); !status) return status.error();
  if (Status status = resolve_mon(draft); !status) return status.error();
  if (Status status = resolve_accelerator(draft); !status) return status.error();
  if (Status status = resolve_memory(draft); !status) return status.error();
  const Options& options = draft.options;
  if (!options.pidfile.empty() && !options.daemonize) return fail("-pidfile must be used with -daemonize together.");
  for (auto check : {check_stdio, check_shared_files, check_management, check_flash, check_boot})
    if (Status status = check(options); !status) return status.error();
  return std::move(draft.options);
}

}  // namespace nacre::cli
